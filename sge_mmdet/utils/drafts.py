"""Fresh files and folders that get their names when they are complete."""

import contextlib
import io
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Iterator, Optional

from .locks import lock

# Parts of the hidden names of drafts, by which stale ones are recognised.
PREFIX, MARK = '.sge_mmdet-', '.partial'
# A file is locked at once after it was made, but not in the same moment.
STALE_SECONDS = 60
# Follows no link, and does not wait for the other end of a pipe.
_AS_IT_IS = (
    os.O_RDONLY | getattr(os, 'O_NOFOLLOW', 0) | getattr(os, 'O_NONBLOCK', 0)
)


class _Draft(io.FileIO):
    """A file that remembers the first error of writing.

    Some writers, such as PyTorch, report a failure without its cause.
    """

    failure: Optional[OSError] = None

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content)
        except OSError as error:
            self.failure = self.failure or error
            raise


def open_draft(folder: Path, suffix: str = '') -> io.BufferedWriter:
    """Make a fresh file, which no link and no other file can stand for.

    It has the mode of any new file and is locked while it is open. Its
    ``raw.failure`` is the first error of writing, or None.

    Args:
        folder (Path): Where it is made. What processes that were killed have
            left there goes.
        suffix (str): What its name ends with, for programs that look.
            Default: nothing.
    """
    _remove_stale(folder)
    name = f'{PREFIX}{secrets.token_hex(8)}{MARK}{suffix[:8]}'
    draft = _Draft(str(folder / name), 'x')
    _lock(draft.fileno())
    return io.BufferedWriter(draft)


@contextlib.contextmanager
def draft_folder(parent: Path) -> Iterator[Path]:
    """Make a fresh folder, which goes with all that is left in it.

    Args:
        parent (Path): Where it is made.

    Yields:
        Path: The folder.
    """
    _remove_stale(parent)
    with tempfile.TemporaryDirectory(
        prefix=PREFIX, suffix=MARK, dir=parent
    ) as folder:
        with locked_folder(Path(folder)):
            yield Path(folder)


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which other programs of this package respect.

    Args:
        folder (Path): The folder.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Wait until a file or the names in a folder are on the disk.

    Args:
        path (Path): The file or folder.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    # Some file systems have no locks: there nothing counts as left behind.
    with contextlib.suppress(OSError):
        lock(descriptor)


def _remove_stale(folder: Path) -> None:
    """Remove drafts that no process holds, if that is possible."""
    for path in folder.glob(f'{PREFIX}*{MARK}*'):
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime < STALE_SECONDS:
                continue
            descriptor = os.open(path, _AS_IT_IS)
            try:
                lock(descriptor, wait=False)
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            finally:
                os.close(descriptor)
