"""The command line: a module for each subcommand of ``sge-mmdet``.

Each module has a function ``main``, which takes the arguments of the command.
``sge_mmdet_cli`` has the list of commands and imports a module when its
command runs. The scripts in ``tools`` call the same functions.
"""
