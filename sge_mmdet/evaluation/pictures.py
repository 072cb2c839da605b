"""Pictures of a report, which a second process can draw in the meantime."""

import importlib.util
import io
import signal
import sys
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, Callable, Iterator, List

from ..utils.machine import usable_processors

# Imported by commands that read neither a config nor a checkpoint, and with
# whose end the process ends.
COMMAND = 'sge_mmdet_cli.files_alone'
Picture = Callable[[], bytes]


class Drawing:
    """Draws pictures when they are asked for."""

    def submit(self, function: str, *data: Any) -> Picture:
        """Return a function that returns the content of a PNG file.

        Args:
            function (str): Name of a function of :mod:`.plots`, such as
                "draw_errors".
            *data: Its arguments but the file.
        """
        return lambda: _draw(function, *data)


class DrawingApart(Drawing):
    """Lets another process draw at once.

    Args:
        pool (ProcessPoolExecutor): The process.
    """

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool
        self._futures: List[Future] = [
            # The first process is the one that Ctrl-C stops.
            pool.submit(signal.signal, signal.SIGINT, signal.SIG_IGN),
            pool.submit(_import_plots),
        ]

    def submit(self, function: str, *data: Any) -> Picture:
        """Let the process draw; arguments are those of the base class."""
        here = super().submit(function, *data)
        try:
            future = self._pool.submit(_draw, function, *data)
        except BrokenProcessPool:
            return here
        self._futures.append(future)

        def picture() -> bytes:
            try:
                return future.result()
            except BrokenProcessPool:
                return here()

        return picture

    def cancel(self) -> None:
        """Cancel what is not drawn yet."""
        for future in self._futures:
            future.cancel()


@contextmanager
def drawing() -> Iterator[Drawing]:
    """Choose how to draw.

    A second process draws for commands that read files alone, where there is a
    second processor. Elsewhere, such as in notebooks, no process is started.

    Yields:
        Drawing: What draws.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
    """
    if importlib.util.find_spec('matplotlib') is None:
        raise ModuleNotFoundError(
            "No module named 'matplotlib'", name='matplotlib'
        )
    if COMMAND not in sys.modules or usable_processors() < 2:
        yield Drawing()
        return
    try:
        pool = ProcessPoolExecutor(
            1, get_context('spawn'), importlib.import_module, (COMMAND,)
        )
        apart = DrawingApart(pool)
    except (ImportError, OSError):
        # Some systems have no semaphores, which the pool needs.
        yield Drawing()
        return
    try:
        yield apart
    finally:
        apart.cancel()
        pool.shutdown()


def _draw(function: str, *data: Any) -> bytes:
    from . import plots

    file = io.BytesIO()
    getattr(plots, function)(*data, file)
    return file.getvalue()


def _import_plots() -> None:
    """Import matplotlib while there is nothing to draw."""
    from . import plots  # noqa: F401
