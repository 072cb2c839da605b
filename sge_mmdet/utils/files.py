"""Atomic writing of files, which replaces only files of this package."""

import contextlib
import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Iterator, Sequence, Union, cast

from .drafts import draft_folder, locked_folder, open_draft, sync
from .written import LIST, is_own, list_with

PathLike = Union[str, Path]


class WriteError(OSError):
    """Raised if a file cannot be written; the message names file and cause."""


class KeptFileError(WriteError, FileExistsError):
    """Raised if an existing file must not be replaced."""


@dataclass(frozen=True)
class Writer:
    """Writer of files, with rules for which files it may replace.

    A file is written atomically: first under a temporary name in its folder,
    and renamed when it is complete and on the disk. The mode of a replaced
    file is kept. If a link is replaced, the file that it points to does not
    change.

    Args:
        overwrite: Whether existing files may be replaced, other than inputs.
            Default: False.
        inputs: Files that are read and must never be replaced, also through
            links. URLs are ignored. Default: ().
        renews: Whether files may be replaced that a writer with ``renews``
            wrote and that have not changed since. They are listed in
            ``.sge_mmdet.json`` in their folder. Default: False.
    """

    overwrite: bool = False
    inputs: Sequence[PathLike] = ()
    renews: bool = False

    def check(self, *paths: PathLike) -> None:
        """Raise if files cannot be written; call it before long work.

        Args:
            *paths (str or Path): Files that will be written.

        Raises:
            KeptFileError: If a file exists and must not be replaced.
            WriteError: If a file cannot be written.
        """
        for path in map(Path, paths):
            with named_errors(path):
                self._replaces(path)
                _check_folder(path.parent)

    @contextlib.contextmanager
    def replacing(self, path: PathLike) -> Iterator[BinaryIO]:
        """Open a draft that is renamed to ``path`` at the end of the block.

        After an error the draft is removed. The block should only write to
        it, because every OSError in it is reported as an error of this file.

        Args:
            path (str or Path): File to write; its folder is created.

        Yields:
            BinaryIO: Draft, whose path is its ``name``.

        Raises:
            KeptFileError: If the file exists and must not be replaced.
            WriteError: If the file cannot be written.
        """
        path = Path(path)
        self.check(path)
        with named_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open_draft(path.parent, path.suffix)
            try:
                yield file
                file.flush()
                self._publish(Path(file.name), path)
            except RuntimeError as error:
                # PyTorch reports errors of writing without their cause.
                failure = cast(Any, file.raw).failure
                if failure:
                    raise failure from error
                raise
            finally:
                _discard(file)

    def write(self, path: PathLike, content: Union[str, bytes]) -> None:
        """Write a file.

        Args:
            path (str or Path): File to write; its folder is created.
            content (str or bytes): Content; text is encoded in UTF-8.

        Raises:
            KeptFileError: If the file exists and must not be replaced.
            WriteError: If the file cannot be written.
        """
        if isinstance(content, str):
            # JSON can contain lone surrogates, which UTF-8 cannot encode.
            content = content.encode(errors='backslashreplace')
        with self.replacing(path) as file:
            file.write(content)

    def publish(self, draft: PathLike, path: PathLike) -> None:
        """Rename a finished file.

        Args:
            draft (str or Path): Finished file, in the same file system.
            path (str or Path): New name; its folder is created.

        Raises:
            KeptFileError: If ``path`` exists and must not be replaced.
            WriteError: If the file cannot be renamed.
        """
        path = Path(path)
        with named_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._publish(Path(draft), path)

    def _publish(self, draft: Path, path: Path) -> None:
        sync(draft)
        if not self.renews:
            self._rename(draft, path)
            return
        with locked_folder(path.parent):
            self._replaces(path)
            written = path.parent / LIST
            Writer(overwrite=True).write(written, list_with(path, draft))
            self._rename(draft, path)

    def _rename(self, draft: Path, path: Path) -> None:
        """Rename a draft, after a last check of the file that it replaces."""
        if self._replaces(path) or self.overwrite:
            with contextlib.suppress(FileNotFoundError):
                mode = path.lstat().st_mode
                if stat.S_ISREG(mode):
                    draft.chmod(mode & 0o777)
            os.replace(draft, path)
        else:
            try:
                _rename_to_new(draft, path)
            except FileExistsError:
                raise self._kept(path) from None
        _sync_names(path.parent)

    def _replaces(self, path: Path) -> bool:
        """Return whether a file exists; raise if it must not be replaced."""
        try:
            path.lstat()
        except FileNotFoundError:
            return False
        if path.is_dir():
            raise WriteError(f'cannot write {path}: it is a folder')
        if path.exists() and not path.is_file():
            raise WriteError(f'cannot write {path}: it is a device or a pipe')
        self._check_inputs(path)
        if not self.overwrite and not (self.renews and is_own(path)):
            raise self._kept(path)
        return True

    def _check_inputs(self, path: Path) -> None:
        for source in map(Path, self.inputs):
            # The loaders of MMEngine resolve "~" as well.
            if str(source).startswith('~'):
                source = source.expanduser()
            if source.exists() and path.exists() and source.samefile(path):
                raise KeptFileError(
                    f'{path} is an input, {source}, which is never replaced; '
                    'name another file or folder'
                )

    def _kept(self, path: Path) -> KeptFileError:
        detail = (
            ', not written by this program or changed since'
            if self.renews
            else ''
        )
        kind = 'folder' if self.renews else 'file'
        return KeptFileError(
            f'{path} is there already{detail}; name another {kind}, or '
            'replace it with --overwrite'
        )


# Writer of pictures and tables, which are often written again.
RENEWING = Writer(renews=True)


@contextlib.contextmanager
def named_errors(path: PathLike) -> Iterator[None]:
    """Turn each OSError into a WriteError that names the file and the cause.

    Args:
        path (str or Path): File that the block writes.

    Raises:
        WriteError: If the block raises an OSError.
    """
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(
            f'cannot write {path}: {error.strerror or error}'
        ) from error


@contextlib.contextmanager
def new_folder(path: PathLike) -> Iterator[Path]:
    """Create a draft folder that is renamed at the end of the block.

    Args:
        path (str or Path): Folder that does not exist yet or is empty.

    Yields:
        Path: Draft folder to write to, which is removed after an error.

    Raises:
        WriteError: If the folder cannot be written, or is not empty at the
            end.
    """
    path = Path(path)
    with folder_beside(path) as drafts, named_errors(path):
        # A subfolder has the default mode; a temporary folder is private.
        folder = drafts / 'folder'
        folder.mkdir()
        yield folder
        for file in folder.rglob('*'):
            sync(file)
        # This fails if the folder exists and is not empty.
        os.rename(folder, path)
        _sync_names(path.parent)


@contextlib.contextmanager
def folder_beside(path: PathLike) -> Iterator[Path]:
    """Create a draft folder beside a file, removed at the end of the block.

    Args:
        path (str or Path): File; the draft folder is created in its folder.

    Yields:
        Path: Draft folder.

    Raises:
        WriteError: If the draft folder cannot be created.
    """
    parent = Path(path).parent
    with contextlib.ExitStack() as stack:
        with named_errors(path):
            _check_folder(parent)
            parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(draft_folder(parent))
        yield folder


def open_to_append(path: PathLike) -> BinaryIO:
    """Open a file, such as a log, to append to it; follow no link.

    Args:
        path (str or Path): File; its folder is created.

    Raises:
        WriteError: If the file cannot be opened.
    """
    path = Path(path)
    with named_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(
            path,
            'ab',
            opener=lambda name, flags: os.open(
                name, flags | os.O_NOFOLLOW, 0o666
            ),
        )


def _check_folder(folder: Path) -> None:
    """Raise if no file can be created in a folder, which may not exist yet."""
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        cause = errno.ENOTDIR
    elif not os.access(folder, os.W_OK | os.X_OK):
        is_fixed = os.statvfs(folder).f_flag & os.ST_RDONLY
        cause = errno.EROFS if is_fixed else errno.EACCES
    else:
        return
    raise OSError(cause, os.strerror(cause))


def _rename_to_new(draft: Path, path: Path) -> None:
    """Rename a draft; raise FileExistsError if the name is taken."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems have no hard links.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        os.replace(draft, path)
    else:
        draft.unlink()


def _sync_names(folder: Path) -> None:
    # Some file systems do not support this; the file is renamed already.
    with contextlib.suppress(OSError):
        sync(folder)


def _discard(file: BinaryIO) -> None:
    """Close a draft, and remove it unless it has been renamed."""
    with contextlib.suppress(OSError):
        file.close()
    with contextlib.suppress(OSError):
        os.unlink(file.name)
