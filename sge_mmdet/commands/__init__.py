"""The command line: a module for each subcommand of ``sge-mmdet``."""
