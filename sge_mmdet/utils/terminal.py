"""Progress and notes on the terminal."""

import sys
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Sequence

from tqdm import tqdm


@contextmanager
def step_bar(names: Sequence[str]) -> Iterator[Callable[..., Any]]:
    """Show a progress bar over named steps that take longer than a second.

    Args:
        names (Sequence[str]): Names of the steps, in order.

    Yields:
        Callable: Function that runs the next step: it calls its first
        argument with the other arguments and returns the result.
    """
    with tqdm(names, delay=1, leave=False) as bar:
        steps = iter(bar)

        def step(run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            bar.set_description_str(next(steps), refresh=False)
            return run(*args, **kwargs)

        yield step


def print_note(text: str) -> None:
    """Print a remark on the result to stderr.

    Args:
        text (str): Remark.
    """
    print(f'note: {text}', file=sys.stderr)
