"""Error messages that all commands share."""

import sys
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence

from ..utils.upstream_warnings import hide_upstream_warnings

# Errors whose message alone tells the user what to do.
USER_ERRORS = (ImportError, OSError, RuntimeError, ValueError)
# Folder of this package, whose warnings are for the user of a command.
PACKAGE = Path(__file__).resolve().parents[1]


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Show this package's warnings without the place in its code."""
    before = warnings.formatwarning

    def format_plainly(
        message: Any,
        category: Any,
        filename: str,
        lineno: int,
        line: Optional[str] = None,
    ) -> str:
        if PACKAGE in Path(filename).resolve().parents:
            return f'warning: {message}\n'
        return before(message, category, filename, lineno, line)

    warnings.formatwarning = format_plainly
    try:
        yield
    finally:
        warnings.formatwarning = before


@contextmanager
def reported_errors() -> Iterator[None]:
    """Turn a user's error into one line on stderr and exit status 1.

    This decorates the function ``run`` of each command. Other packages'
    warnings about their own code are not shown, and this package's take one
    line.
    """
    hide_upstream_warnings()
    try:
        with plain_warnings():
            yield
    except ModuleNotFoundError:
        # The start of the command tells how to install what is missing.
        raise
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
