"""Reading of JSON files, with errors that name the file."""

import contextlib
import gc
import gzip
import json
import os
import zlib
from pathlib import Path
from typing import Any, Iterator, Union

from .machine import available_memory

try:
    import msgspec
except ImportError:
    msgspec = None  # type: ignore[assignment]

WHOLE_FILE_BYTES = 50_000_000
# Upper bound of the parsed size relative to the text, that of "{},{},".
MOST_GROWTH = 92
# Upper bounds of the memory of CPython's dicts with few keys, and of lists.
DICT_BYTES, LIST_BYTES = 216, 88
# In data sets and results an entry has 50 characters or more, so that dicts
# and lists take at most six times the size of the file. A file that exceeds
# this limit and FREE_BYTES is refused.
MOST_IN_CONTAINERS = 8
FREE_BYTES = 100_000_000
# First bytes of a file that gzip compressed.
GZIP = b'\x1f\x8b'


def load_json(path: Union[str, Path]) -> Any:
    """Read a JSON file.

    Args:
        path (str or Path): JSON file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not JSON (the message has the position of
            the first error) or too large for the memory.
    """
    text = read_json_text(path)
    check_parsed_size(path, text)
    with no_garbage_collection():
        try:
            return _parse(text)
        except RecursionError as error:
            raise ValueError(
                f'{path} has lists nested too deeply to be read, which no '
                'data set and no result file needs'
            ) from error
        except ValueError as error:
            raise ValueError(
                f'{path} is not a JSON file or is truncated: {error}'
            ) from error


def read_json_text(path: Union[str, Path]) -> bytes:
    """Read the text of a JSON file, if it fits in memory.

    Args:
        path (str or Path): JSON file, which may be compressed by gzip.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it takes more memory than is free, or is compressed and
            damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'There is no file {path}')
    size, available = path.stat().st_size, available_memory()
    if _is_compressed(path):
        return _decompress(path, available)
    if size > available:
        raise _too_large(path, size, size, available)
    return path.read_bytes()


def check_parsed_size(path: Union[str, Path], text: bytes) -> None:
    """Raise if the parsed content of a JSON file does not fit in memory.

    The operating system kills a process that exceeds the memory without a
    message. A file that grows more than data sets do, such as one with
    nothing but empty lists, is always refused.

    Args:
        path (str or Path): JSON file, for messages.
        text (bytes): Its text.

    Raises:
        ValueError: If the parsed file would take more memory than is free, or
            much more than a data set or result of this size.
    """
    size, available = len(text), available_memory()
    if size * MOST_GROWTH <= min(available, FREE_BYTES):
        return
    lists, dicts = text.count(b'['), text.count(b'{')
    containers = LIST_BYTES * lists + DICT_BYTES * dicts
    if containers > MOST_IN_CONTAINERS * size + FREE_BYTES:
        raise ValueError(
            f'{path} is of {size / 1e6:.1f} MB and holds {lists} lists '
            f'and {dicts} dicts, which take up to '
            f'{containers / 1e6:.1f} MB of memory; in data sets and '
            f'results they take at most {MOST_IN_CONTAINERS} times its '
            'size'
        )
    # The text, its decoded copy, its strings, and all other values, which
    # are counted only where so many could be too many.
    needed = 3 * size + containers
    if needed + 48 * size > available:
        needed += 48 * text.count(b',')
        if needed > available:
            raise _too_large(path, size, needed, available)


def _is_compressed(path: Path) -> bool:
    with path.open('rb') as file:
        return file.read(2) == GZIP


def _decompress(path: Path, available: int) -> bytes:
    """Return the content of a file of gzip, if the memory can hold it."""
    try:
        with gzip.open(path) as file:
            text = file.read(available // 3)
            if file.read(1):
                raise _too_large(path, len(text), 3 * len(text), available)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f'{path} is compressed by gzip and damaged or truncated: {error}'
        ) from error
    return text


def _too_large(
    path: Union[str, Path], size: int, needed: int, available: int
) -> ValueError:
    return ValueError(
        f'{path} is of {size / 1e9:.1f} GB and takes up to '
        f'{needed / 1e9:.1f} GB of memory, of which {available / 1e9:.1f} GB '
        'are free. Use a machine with more, or split the file'
    )


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Disable garbage collection while millions of lasting objects are made.

    The collector would visit each of them many times, which takes as long as
    the parsing itself.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _parse(text: bytes) -> Any:
    if msgspec:
        # It takes a third of the time of the standard library. If it fails,
        # the standard library follows: it accepts NaN and huge numbers, and
        # its messages locate errors better.
        with contextlib.suppress(msgspec.MsgspecError):
            return msgspec.json.decode(text)
    return json.loads(text)


def check_json_file(path: Union[str, Path]) -> None:
    """Raise if a file is not JSON or is truncated.

    In a file over 50 MB only the first and last characters are checked:
    COCO's training annotations take seconds to parse, and the training parses
    them anyway.

    Args:
        path (str or Path): JSON file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not JSON or is truncated.
    """
    path = Path(path)
    is_small = not path.is_file() or path.stat().st_size <= WHOLE_FILE_BYTES
    if is_small or _is_compressed(path):
        load_json(path)
        return
    with path.open('rb') as file:
        head = file.read(64).strip()
        file.seek(-64, os.SEEK_END)
        tail = file.read().strip()
    if (head[:1], tail[-1:]) not in ((b'{', b'}'), (b'[', b']')):
        raise ValueError(
            f'{path} is not a JSON file or is truncated: it starts with '
            f'{head[:16]!r} and ends with {tail[-16:]!r}'
        )
