"""The command line: a module for each subcommand of ``sge-mmdet``.

Each module has a ``main`` that takes the arguments. ``sge_mmdet_cli`` holds
the list of commands and imports a module when its command runs; the scripts
in ``tools`` call the same functions.
"""
