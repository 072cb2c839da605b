"""Temporary files and folders that are renamed when they are complete."""

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

# Parts of the hidden names of drafts; stale drafts are recognised by them.
PREFIX, MARK = '.sge_mmdet-', '.partial'
# A draft is locked shortly after it is created; younger ones are not stale.
STALE_SECONDS = 60
# Follow no link, and do not wait for the other end of a pipe.
_OPEN_FLAGS = (
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
    """Create a new draft file, never through a link or an existing file.

    The file has the default mode and is locked while it is open. Its
    ``raw.failure`` is the first error of writing, or None.

    Args:
        folder (Path): Folder of the draft. Drafts that killed processes have
            left in it are removed.
        suffix (str): Suffix of the name, for programs that check it. Default:
            "".
    """
    _remove_stale(folder)
    name = f'{PREFIX}{secrets.token_hex(8)}{MARK}{suffix[:8]}'
    draft = _Draft(str(folder / name), 'x')
    _lock(draft.fileno())
    return io.BufferedWriter(draft)


@contextlib.contextmanager
def draft_folder(parent: Path) -> Iterator[Path]:
    """Create a draft folder, which is removed with its content at the end.

    Args:
        parent (Path): Folder in which it is created.

    Yields:
        Path: The draft folder.
    """
    _remove_stale(parent)
    with tempfile.TemporaryDirectory(
        prefix=PREFIX, suffix=MARK, dir=parent
    ) as folder:
        with locked_folder(Path(folder)):
            yield Path(folder)


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which all programs of this package respect.

    Args:
        folder (Path): Existing folder.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on the disk.

    Args:
        path (Path): File or folder.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    # On a file system without locks, no draft counts as stale.
    with contextlib.suppress(OSError):
        lock(descriptor)


def _remove_stale(folder: Path) -> None:
    """Remove drafts that no process has locked, if possible."""
    for path in folder.glob(f'{PREFIX}*{MARK}*'):
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime < STALE_SECONDS:
                continue
            descriptor = os.open(path, _OPEN_FLAGS)
            try:
                lock(descriptor, wait=False)
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            finally:
                os.close(descriptor)
