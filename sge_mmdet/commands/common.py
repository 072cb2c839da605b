"""Error messages that all commands share."""

import sys
from contextlib import contextmanager
from typing import Iterator, Sequence

from ..utils.upstream_warnings import hide_upstream_warnings

# Errors whose message alone tells the user what to do.
USER_ERRORS = (ImportError, OSError, RuntimeError, ValueError)


@contextmanager
def reported_errors() -> Iterator[None]:
    """Turn a user's error into one line on stderr and exit status 1.

    This decorates the function ``run`` of each command. Other packages'
    warnings about their own code are not shown.
    """
    hide_upstream_warnings()
    try:
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
