"""Parser, error messages and options that all commands share."""

import argparse
import sys
from contextlib import contextmanager
from typing import Iterator, Optional, Sequence

from ..utils.upstream_warnings import hide_upstream_warnings

# Errors whose message alone tells the user what to do.
USER_ERRORS = (ImportError, OSError, RuntimeError, ValueError)


def create_parser(
    command: str, description: Optional[str], args: Optional[Sequence[str]]
) -> argparse.ArgumentParser:
    """Return the parser of a command.

    Args:
        command (str): Name of the command, such as "draw-run".
        description (str, optional): Docstring of its module.
        args (Sequence[str], optional): Arguments of ``main``. None means that
            the command runs as a script; the usage then has its name.
    """
    return argparse.ArgumentParser(
        prog=None if args is None else f'sge-mmdet {command}',
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_overwrite_option(
    parser: argparse.ArgumentParser, renews: bool = False
) -> None:
    """Add ``--overwrite`` to a parser.

    Args:
        parser (argparse.ArgumentParser): The parser.
        renews (bool): Whether the command replaces its own earlier files even
            without this option. Default: False.
    """
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='also replace files that this command did not write, or that '
        'were changed since'
        if renews
        else 'replace existing files',
    )


@contextmanager
def reported_errors() -> Iterator[None]:
    """Turn a user's error into one line on stderr and exit status 1.

    This decorates the ``main`` of each command. Other packages' warnings about
    their own code are not shown.
    """
    hide_upstream_warnings()
    try:
        yield
    except USER_ERRORS as error:
        sys.exit(f'error: {error}')


def exit_at_failures(messages: Sequence[str]) -> None:
    """Print failures to stderr and exit with status 1, if there are any.

    Args:
        messages (Sequence[str]): A message for each failure.
    """
    for message in messages:
        print(f'error: {message}', file=sys.stderr)
    if messages:
        sys.exit(1)
