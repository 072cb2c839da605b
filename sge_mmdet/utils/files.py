"""Files written whole or not at all, and over nothing that is not ours."""

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
    """A file cannot be written; the message names it and the cause."""


class KeptFileError(WriteError, FileExistsError):
    """A file is there that may not be replaced."""


@dataclass(frozen=True)
class Writer:
    """How files are written, and what they may replace.

    A file is written under another name in its folder, and gets its own when
    it is complete and on the disk. A file that is there is replaced, and keeps
    its mode, only as said here. A link counts as a file: where it may be
    replaced, it is the link that goes, and never what it leads to.

    Args:
        overwrite: Whether any file may be replaced. Inputs may not.
        inputs: Files that are read. They are recognised by what they are, not
            by their names: links count. Addresses may be among them.
        renews: Whether files may be replaced that this package wrote with
            this set, and that nobody changed since. They are listed in
            ``.sge_mmdet.json`` in their folder.
    """

    overwrite: bool = False
    inputs: Sequence[PathLike] = ()
    renews: bool = False

    def check(self, *paths: PathLike) -> None:
        """Raise if files cannot or may not be written, before any work.

        Args:
            *paths (str or Path): The files.

        Raises:
            KeptFileError: If a file exists and must not be replaced.
            WriteError: If one cannot be written.
        """
        for path in map(Path, paths):
            with named_errors(path):
                self._replaces(path)
                _check_folder(path.parent)

    @contextlib.contextmanager
    def replacing(self, path: PathLike) -> Iterator[BinaryIO]:
        """Give a fresh file that becomes ``path`` at the end of the block.

        After an error it is removed. In the block should be nothing but
        writing: errors of the system there are taken for the file's own.

        Args:
            path (str or Path): The file to write; its folder is made.

        Yields:
            BinaryIO: The file, whose ``name`` is the path of it until then.

        Raises:
            KeptFileError: If it exists and must not be replaced.
            WriteError: If it cannot be written.
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
                # As PyTorch reports it.
                failure = cast(Any, file.raw).failure
                if failure:
                    raise failure from error
                raise
            finally:
                _discard(file)

    def write(self, path: PathLike, content: Union[str, bytes]) -> None:
        """Write a file.

        Args:
            path (str or Path): The file; its folder is made.
            content (str or bytes): What it will hold; text in UTF-8.

        Raises:
            KeptFileError: If it exists and must not be replaced.
            WriteError: If it cannot be written.
        """
        if isinstance(content, str):
            # Half of a pair in UTF-16 is no letter; JSON can hold one.
            content = content.encode(errors='backslashreplace')
        with self.replacing(path) as file:
            file.write(content)

    def publish(self, draft: PathLike, path: PathLike) -> None:
        """Give a finished file its name.

        Args:
            draft (str or Path): The file, in the same file system.
            path (str or Path): Its name from now on.

        Raises:
            KeptFileError: If it exists and must not be replaced.
            WriteError: If it cannot be written.
        """
        path = Path(path)
        with named_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._publish(Path(draft), path)

    def _publish(self, draft: Path, path: Path) -> None:
        sync(draft)
        if not self.renews:
            self._name(draft, path)
            return
        with locked_folder(path.parent):
            self._replaces(path)
            written = path.parent / LIST
            Writer(overwrite=True).write(written, list_with(path, draft))
            self._name(draft, path)

    def _name(self, draft: Path, path: Path) -> None:
        """Rename a file, after a last look at what has its name."""
        if self._replaces(path) or self.overwrite:
            with contextlib.suppress(FileNotFoundError):
                there = path.lstat()
                if stat.S_ISREG(there.st_mode):
                    draft.chmod(there.st_mode & 0o777)
            os.replace(draft, path)
        else:
            try:
                _name_new(draft, path)
            except FileExistsError:
                raise self._kept(path) from None
        _sync_names(path.parent)

    def _replaces(self, path: Path) -> bool:
        """Return whether a file is there; raise if it may not be replaced."""
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
            # A home folder as "~" is resolved by those who read.
            if str(source).startswith('~'):
                source = source.expanduser()
            if source.exists() and path.exists() and source.samefile(path):
                raise KeptFileError(
                    f'{path} is an input, {source}, which is never replaced; '
                    'write to another file or folder'
                )

    def _kept(self, path: Path) -> KeptFileError:
        how = (
            ', not written by this program or changed since'
            if self.renews
            else ''
        )
        where = 'folder' if self.renews else 'file'
        return KeptFileError(
            f'{path} is there already{how}; name another '
            f'{where} or say --overwrite'
        )


# Of pictures and tables that are made again and again.
RENEWING = Writer(renews=True)


@contextlib.contextmanager
def named_errors(path: PathLike) -> Iterator[None]:
    """Turn errors of the system into a line with the file and the cause.

    Args:
        path (str or Path): The file that is written.

    Raises:
        WriteError: For any other OSError.
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
    """Give a fresh folder that becomes ``path`` at the end of the block.

    Args:
        path (str or Path): The folder to make, or an empty one.

    Yields:
        Path: The folder to write to, which is removed after an error.

    Raises:
        WriteError: If it cannot be written, or is not empty by then.
    """
    path = Path(path)
    with folder_beside(path) as drafts, named_errors(path):
        # Inside, since the mode of the other lets nobody else read it.
        folder = drafts / 'folder'
        folder.mkdir()
        yield folder
        for file in folder.rglob('*'):
            sync(file)
        # Takes the place of nothing or of an empty folder, not of others.
        os.rename(folder, path)
        _sync_names(path.parent)


@contextlib.contextmanager
def folder_beside(path: PathLike) -> Iterator[Path]:
    """Give a fresh folder for drafts of a file, which goes afterwards.

    Args:
        path (str or Path): The file; the folder is made in its folder.

    Yields:
        Path: The folder.

    Raises:
        WriteError: If it cannot be made.
    """
    parent = Path(path).parent
    with contextlib.ExitStack() as stack:
        with named_errors(path):
            _check_folder(parent)
            parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(draft_folder(parent))
        yield folder


def open_to_append(path: PathLike) -> BinaryIO:
    """Open a file that grows, such as a log, and follow no link to it.

    Args:
        path (str or Path): The file; its folder is made.

    Raises:
        WriteError: If it cannot be written.
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
    """Raise if no file can be made in a folder, which need not be there."""
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


def _name_new(draft: Path, path: Path) -> None:
    """Give a file a name that nothing has."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:
        # There are file systems without hard links.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        os.replace(draft, path)
    else:
        draft.unlink()


def _sync_names(folder: Path) -> None:
    # Some file systems cannot, and the file has its name already.
    with contextlib.suppress(OSError):
        sync(folder)


def _discard(file: BinaryIO) -> None:
    """Close a draft, and remove it unless it has got another name."""
    with contextlib.suppress(OSError):
        file.close()
    with contextlib.suppress(OSError):
        os.unlink(file.name)
