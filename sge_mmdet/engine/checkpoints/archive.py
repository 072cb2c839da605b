"""Checks of the layout of checkpoint files before they are unpacked.

Readers of zip files disagree about malformed files: which end record counts,
where the directory is, which of two equal names is meant. To make sure that
PyTorch reads what was checked here, only the one unambiguous layout is
accepted.
"""

import os
import pickle
import struct
from typing import BinaryIO, Dict, List, NamedTuple, Tuple

from .refusal import Damaged, OtherKind

ZIP = b'PK\x03\x04'
# The start of files before torch 1.6: the pickled magic number of torch.save.
LEGACY = b'\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'
END = struct.Struct('<4s4H2LH')
END64 = struct.Struct('<4sQ2H2L4Q')
LOCATOR = struct.Struct('<4sLQL')
ENTRY = struct.Struct('<4s6H3L5H2L')
LOCAL = struct.Struct('<4s5H3L2H')
# Encryption of a part (bits 0 and 6) or of the whole directory (bit 13).
FORBIDDEN_FLAGS = 0x2041
# PyTorch's longest name consists of a file's name, "/data/" and a number.
LONGEST_NAME = 400
COMPRESSED = (
    'it is compressed or its parts overlap, and torch.save does '
    'neither; unpack it if it is an archive'
)
SAVE_AGAIN = (
    '; load it with what wrote it, and write its state_dict with torch.save'
)


class Entry(NamedTuple):
    """A part of an archive.

    Attributes:
        name (bytes): Name of the part.
        size (int): Size of its content, in bytes.
        offset (int): Start of its header, in bytes.
        is_stored (bool): Whether it is not compressed.
    """

    name: bytes
    size: int
    offset: int
    is_stored: bool


def is_zip(file: BinaryIO) -> bool:
    """Return whether PyTorch would read a file as an archive.

    Args:
        file (BinaryIO): Open checkpoint file.

    Raises:
        OtherKind: If it is a known kind of file, but not a checkpoint.
        Damaged: If it is an unknown kind of file.
    """
    file.seek(0)
    head = file.read(512)
    file.seek(0)
    if head.startswith(ZIP):
        return True
    # Pickles of protocol 4 and later begin with a frame.
    pickled = head[11:] if head[2:3] == pickle.FRAME else head[2:]
    if head[:1] == b'\x80' and pickled.startswith(LEGACY):
        return False
    if head[:1] == b'\x80':
        raise OtherKind(
            'it is a bare pickle (pickle.dump), not what '
            f'torch.save writes{SAVE_AGAIN}'
        )
    if head[257:262] == b'ustar':
        raise OtherKind(
            'it is a tar archive, as PyTorch wrote them before '
            f'0.1.10{SAVE_AGAIN}'
        )
    raise Damaged('not begun as torch.save begins a file')


def read_storages(file: BinaryIO) -> Dict[str, int]:
    """Check an archive and return the sizes of its tensors.

    Args:
        file (BinaryIO): Open checkpoint file.

    Returns:
        dict[str, int]: Sizes in bytes by the keys that the pickle uses.

    Raises:
        OtherKind: If it is a TorchScript archive, compressed, or its parts
            overlap.
        Damaged: If its layout is not that of PyTorch.
    """
    count, start, end = _find_directory(file)
    entries = _read_directory(file, count, start, end)
    names = {entry.name.lower() for entry in entries}
    if len(names) < len(entries):
        raise Damaged('two parts of one name')
    if any(b'constants.pkl' in name for name in names):
        raise OtherKind(
            'it is a TorchScript archive (torch.jit.save): a '
            'program, of which a checkpoint is only the weights; '
            'export them: torch.save(torch.jit.load(file)'
            '.state_dict(), new_file)'
        )
    _check_parts(file, entries, start)
    folder = entries[0].name.partition(b'/')[0] + b'/data/'
    return {
        entry.name[len(folder) :].decode('utf-8', 'replace'): entry.size
        for entry in entries
        if entry.name.startswith(folder)
    }


def _read(file: BinaryIO, form: struct.Struct, offset: int) -> Tuple:
    """Read a record and return its numbers."""
    if offset < 0:
        raise Damaged('no room for a record')
    file.seek(offset)
    data = file.read(form.size)
    if len(data) < form.size:
        raise Damaged('a record is cut off')
    return form.unpack(data)


def _find_directory(file: BinaryIO) -> Tuple[int, int, int]:
    """Return the number of entries of the directory, its start and its end."""
    stop = file.seek(0, os.SEEK_END) - END.size
    mark, *disks, here, count, size, start, comment = _read(file, END, stop)
    if mark != b'PK\5\6' or any(disks) or here != count or comment:
        raise Damaged('its end is not at the end')
    small = count, size, start
    place = stop - LOCATOR.size
    if place >= 0:
        mark, disk, record, disks = _read(file, LOCATOR, place)
        if mark == b'PK\6\7':
            stop = place - END64.size
            mark, length, _, _, *more = _read(file, END64, stop)
            if (mark, length, record, disk, disks, *more[:2]) != (
                b'PK\6\6',
                END64.size - 12,
                stop,
                0,
                1,
                0,
                0,
            ) or (more[2] != more[3]):
                raise Damaged('two ends that disagree')
            large = tuple(more[3:])
            if any(
                a not in (b, limit)
                for a, b, limit in zip(
                    small, large, (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
                )
            ):
                raise Damaged('two ends that disagree')
            count, size, start = large
    if start + size != stop or count * ENTRY.size > size or not count:
        raise Damaged('its directory is not right before its end')
    return count, start, stop


def _read_directory(
    file: BinaryIO, count: int, start: int, end: int
) -> List[Entry]:
    """Return the entries of the directory."""
    file.seek(start)
    data, place, entries = file.read(end - start), 0, []
    for _ in range(count):
        if place + ENTRY.size > len(data):
            raise Damaged('its directory is cut off')
        entry, place = _read_entry(data, place)
        entries.append(entry)
    if place != len(data):
        raise Damaged('its directory is longer than its entries')
    return entries


def _read_entry(data: bytes, place: int) -> Tuple[Entry, int]:
    """Return the entry of a directory at a place, and where it ends."""
    fields = ENTRY.unpack_from(data, place)
    mark, _, _, flags, method, _, _, _, packed, size = fields[:10]
    name, extra, comment, disk, _, _, offset = fields[10:]
    end = place + ENTRY.size + name + extra + comment
    if (
        mark != b'PK\1\2'
        or disk
        or comment
        or flags & FORBIDDEN_FLAGS
        or end > len(data)
        or not 0 < name <= LONGEST_NAME
    ):
        raise Damaged('an entry of its directory')
    text = data[end - extra - name : end - extra]
    if b'\0' in text:
        raise Damaged('a name of its directory')
    size, packed, offset = _full_numbers(
        data[end - extra : end], size, packed, offset
    )
    return Entry(text, size, offset, not method and packed == size), end


def _full_numbers(extra: bytes, *numbers: int) -> List[int]:
    """Return numbers of an entry; its extra part holds those over 32 bits."""
    wide, place = [], 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from('<2H', extra, place)
        if kind == 1:
            wide.append(extra[place + 4 : place + 4 + length])
        place += 4 + length
    large = [number == 0xFFFFFFFF for number in numbers]
    form = struct.Struct(f'<{sum(large)}Q')
    if (
        place != len(extra)
        or len(wide) > 1
        or (len(b''.join(wide)) != form.size)
    ):
        raise Damaged('an entry of its directory')
    values = iter(form.unpack(b''.join(wide)))
    return [
        next(values) if is_large else number
        for number, is_large in zip(numbers, large)
    ]


def _check_parts(file: BinaryIO, entries: List[Entry], stop: int) -> None:
    """Raise unless the parts are contiguous up to the directory."""
    place = 0
    for entry in sorted(entries, key=lambda entry: entry.offset):
        mark, _, _, method, _, _, _, _, _, name, extra = _read(
            file, LOCAL, entry.offset
        )
        if entry.offset < place or method or not entry.is_stored:
            raise OtherKind(COMPRESSED)
        if mark != ZIP or file.read(name) != entry.name:
            raise Damaged('a part that is not what its directory says')
        place = entry.offset + LOCAL.size + name + extra + entry.size
    if place > stop:
        raise OtherKind(COMPRESSED)
    if min(entry.offset for entry in entries):
        raise Damaged('something before its first part')
