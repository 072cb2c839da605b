"""The commands: a module for each subcommand of ``sge-mmdet``.

Each module has a function ``run``, which takes the parsed arguments. The
package ``sge_mmdet_cli`` has the list of commands and parses their arguments,
before it imports a module of this package.
"""
