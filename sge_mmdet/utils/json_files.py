"""JSON files read with errors that name the file."""

import contextlib
import gc
import json
import os
import re
from pathlib import Path
from typing import Any, Iterator, Union

try:
    import msgspec
except ImportError:
    msgspec = None  # type: ignore[assignment]

WHOLE_FILE_BYTES = 50_000_000
# No text takes more than this times its size when parsed: not even "{},{},".
MOST_GROWTH = 92
# What CPython takes at most for a dict of a few keys, and for a list.
DICT_BYTES, LIST_BYTES = 216, 88
# The dicts and lists of data sets and results, whose entries have 50 letters
# or more, take six times the size of their file, and numbers and text in them
# as much. More is refused, beyond what any file may take.
MOST_IN_CONTAINERS = 8
FREE_BYTES = 100_000_000


def load_json(path: Union[str, Path]) -> Any:
    """Read a JSON file.

    Args:
        path (str or Path): The file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not JSON, with the place of the first error, or
            too large for the memory.
    """
    text = read_json_text(path)
    with no_garbage_collection():
        try:
            return _parse(text)
        except RecursionError as error:
            raise ValueError(
                f'{path} has lists in lists too deep to be '
                'read; no such file does'
            ) from error
        except ValueError as error:
            raise ValueError(
                f'{path} is not a JSON file or is truncated: {error}'
            ) from error


def read_json_text(path: Union[str, Path]) -> bytes:
    """Read a JSON file as it is, if what it holds fits into the memory.

    The system ends a process that takes more than there is, without a word.
    A file that grows more than data sets do, such as one of empty lists
    alone, is refused whatever there is.

    Args:
        path (str or Path): The file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it would take more memory than there is, or than such
            a file ever does.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'There is no file {path}')
    size, available = path.stat().st_size, available_memory()
    if size * MOST_GROWTH <= min(available, FREE_BYTES):
        return path.read_bytes()
    needed = size
    if needed <= available:
        text = path.read_bytes()
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
        # The text, decoded, its strings, and any other value.
        needed = 3 * len(text) + containers + 48 * text.count(b',')
        if needed <= available:
            return text
    raise ValueError(
        f'{path} is of {size / 1e9:.1f} GB and takes up to '
        f'{needed / 1e9:.1f} GB of memory, of which {available / 1e9:.1f} GB '
        'are free. Use a machine with more, or split the file'
    )


def available_memory() -> int:
    """Return the memory that a process can still take, in bytes.

    That of the machine: limits of a container are not known here.
    """
    meminfo = Path('/proc/meminfo')
    if meminfo.is_file():
        found = re.search(r'MemAvailable:\s*(\d+) kB', meminfo.read_text())
        if found:
            return 1024 * int(found[1])
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Do without it while millions of objects arise and all of them stay.

    It would look at each of them again and again, which takes as long as
    parsing.
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
        # A third of the time of the standard library's, which has the last
        # word on NaN and huge numbers, and better ones on where the error is.
        with contextlib.suppress(msgspec.MsgspecError):
            return msgspec.json.decode(text)
    return json.loads(text)


def check_json_file(path: Union[str, Path]) -> None:
    """Raise if a file is not JSON or is truncated.

    Of a file over 50 MB only the first and last characters are looked at:
    COCO's training annotations take seconds to parse, and whoever uses them
    parses them anyway.

    Args:
        path (str or Path): The file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not JSON or is truncated.
    """
    path = Path(path)
    if not path.is_file() or path.stat().st_size <= WHOLE_FILE_BYTES:
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
