"""Tensors of a result pickle, as arrays of numpy that share the file's bytes.

A tensor that was pickled without ``torch.save`` is a call of
``_rebuild_tensor_v2`` on a storage, which is a small file of ``torch.save`` in
the format before torch 1.6. PyTorch's own readers trust these numbers; here a
tensor is a view of what the file holds, or it is refused.
"""

import math
import pickle
import struct
from typing import Any, Callable, Dict, NamedTuple, Tuple

import numpy as np

from ..utils import printable
from ..utils.plain_pickle import Budget, PlainPickle

# PyTorch's mark of a file in its old format, and the version of that.
MAGIC_NUMBER, OLD_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
# What comes before the numbers of a storage takes some 300 bytes.
LONGEST_HEADER = 1000
# What a storage or a tensor takes besides its numbers, with time to read it.
TENSOR_COST = 2000
MOST_DIMENSIONS = 8
STORAGES = {
    'DoubleStorage': '<f8',
    'FloatStorage': '<f4',
    'HalfStorage': '<f2',
    'LongStorage': '<i8',
    'IntStorage': '<i4',
    'ShortStorage': '<i2',
    'CharStorage': 'i1',
    'ByteStorage': 'u1',
    'BoolStorage': '?',
    # Numpy has no bfloat16: the upper half of a float32.
    'BFloat16Storage': 'bfloat16',
}


# As large as a tensor without numbers may say that it is in each direction.
MOST_OF_NOTHING = 2**31


class _StorageType(NamedTuple):
    code: str

    @property
    def itemsize(self) -> int:
        return 2 if self.code == 'bfloat16' else np.dtype(self.code).itemsize


class _StoredNumbers(NamedTuple):
    type: _StorageType
    key: str
    size: int


# Named as functions are; none of them is one.
_STORAGE_NAMES = {
    ('torch', name): _StorageType(code) for name, code in STORAGES.items()
}


def pickled_tensor_names(
    budget: Budget,
) -> Dict[Tuple[str, str], Callable[..., Any]]:
    """Return what the names in pickles of tensors stand for.

    Args:
        budget (Budget): Memory budget of the file.

    Returns:
        dict: For :class:`PlainPickle`.
    """

    def encode(text: Any, encoding: Any) -> bytes:
        """Return bytes, which protocol 2 holds as text."""
        if encoding != 'latin1' or type(text) is not str:
            raise pickle.UnpicklingError(
                f'it holds bytes in {printable(encoding, 80)}, not latin1'
            )
        budget.spend(len(text))
        return text.encode('latin1')

    def storage(data: Any) -> np.ndarray:
        # Of a file that reads the same bytes many times, each one counts.
        budget.spend(TENSOR_COST + 2 * len(data))
        return _read_storage(data)

    def tensor(
        storage: Any,
        offset: Any,
        size: Any,
        stride: Any,
        requires_grad: Any,
        hooks: Any,
        metadata: Any = None,
    ) -> np.ndarray:
        budget.spend(TENSOR_COST)
        return _view(storage, offset, size, stride)

    def no_hooks(*arguments: Any) -> dict:
        if arguments:
            raise pickle.UnpicklingError('it holds an OrderedDict of items')
        return {}

    return {
        ('_codecs', 'encode'): encode,
        ('torch.storage', '_load_from_bytes'): storage,
        ('torch._utils', '_rebuild_tensor_v2'): tensor,
        ('collections', 'OrderedDict'): no_hooks,
    }


def _read_storage(data: Any) -> np.ndarray:
    """Return the numbers of a storage, flat."""
    if type(data) is not bytes:
        raise pickle.UnpicklingError('it has a storage that is no bytes')
    # A budget of its own is enough for a header that is cut at its end.
    header = PlainPickle(
        data[:LONGEST_HEADER], _STORAGE_NAMES, Budget(0), _find_stored
    )
    if data[:1] != pickle.PROTO or (header.load(), header.load()) != (
        MAGIC_NUMBER,
        OLD_PROTOCOL,
    ):
        raise pickle.UnpicklingError(
            'it has a storage in another format than '
            'the one that PyTorch pickles'
        )
    machine, stored, keys = header.load(), header.load(), header.load()
    if type(machine) is not dict or machine.get('little_endian') is not True:
        raise pickle.UnpicklingError(
            'it was written by a machine that stores '
            'the first byte of a number last'
        )
    if not isinstance(stored, _StoredNumbers) or keys != [stored.key]:
        raise pickle.UnpicklingError(
            'it holds something else where the numbers of one tensor belong'
        )
    # Their number comes once more, in 8 bytes.
    begin = header.at + 8
    if stored.size * stored.type.itemsize != len(data) - begin or (
        data[header.at : begin] != struct.pack('<q', stored.size)
    ):
        raise pickle.UnpicklingError(
            f'it has a storage of {printable(stored.size, 80)} numbers in '
            f'{max(0, len(data) - begin)} bytes'
        )
    if stored.type.code != 'bfloat16':
        return np.frombuffer(data, stored.type.code, offset=begin)
    upper = np.frombuffer(data, '<u2', offset=begin)
    return (upper.astype('<u4') << 16).view('<f4')


def _find_stored(stored: Any) -> _StoredNumbers:
    """Return what is said of a storage: its type and length."""
    if type(stored) is not tuple or len(stored) != 6:
        raise pickle.UnpicklingError(
            'it has a storage that is not described as PyTorch does'
        )
    kind, storage_type, key, _, count, view = stored
    if (
        kind != 'storage'
        or not isinstance(storage_type, _StorageType)
        or (type(key) is not str or type(count) is not int or view is not None)
    ):
        raise pickle.UnpicklingError(
            'it has a storage that is not described as PyTorch does'
        )
    return _StoredNumbers(storage_type, key, count)


def _view(storage: Any, offset: Any, size: Any, stride: Any) -> np.ndarray:
    """Return a tensor: a view of numbers, no larger than they are."""
    if not (
        isinstance(storage, np.ndarray)
        and storage.ndim == 1
        and _is_count(offset)
        and _are_counts(size)
        and _are_counts(stride)
        and len(size) == len(stride)
    ):
        raise pickle.UnpicklingError(
            'it has a tensor whose size is not a tuple of at most '
            f'{MOST_DIMENSIONS} whole numbers of 0 or more'
        )
    is_empty = 0 in size
    most = MOST_OF_NOTHING if is_empty else len(storage)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    if math.prod(n for n in size if n) > most or (
        not is_empty and last >= len(storage)
    ):
        raise pickle.UnpicklingError(
            f'it has a tensor of {_shown(size)} made of {len(storage)} numbers'
        )
    if is_empty:
        return np.zeros(size, storage.dtype)
    steps = [
        storage.itemsize * step if n > 1 else 0
        for n, step in zip(size, stride)
    ]
    return np.lib.stride_tricks.as_strided(
        storage[offset:], size, steps, writeable=False
    )


def _are_counts(values: Any) -> bool:
    return (
        type(values) is tuple
        and len(values) <= MOST_DIMENSIONS
        and all(map(_is_count, values))
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _shown(size: Tuple[int, ...]) -> str:
    return f'({", ".join(printable(n, 40) for n in size)})'
