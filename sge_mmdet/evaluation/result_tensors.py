"""Tensors of a result pickle, as arrays of numpy that share the file's bytes.

A tensor that was pickled without ``torch.save`` is a call of
``_rebuild_tensor_v2`` on a storage, which is a small file of ``torch.save`` in
the format before torch 1.6. PyTorch's own readers trust the sizes that a file
states; here a tensor is a view of the file's bytes, or it is refused.
"""

import math
import pickle
import struct
from functools import partial
from typing import Any, Callable, Dict, NamedTuple, Tuple

import numpy as np

from ..utils import printable
from ..utils.plain_pickle import Budget, PlainPickle

# Magic number and version of PyTorch's format before torch 1.6.
MAGIC_NUMBER, OLD_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
# Bytes before the numbers of a storage; usually about 300.
LONGEST_HEADER = 1000
# Memory of a storage or tensor besides its numbers, in bytes, and some more
# for the time to read it.
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
    # Numpy has no bfloat16, which is the upper half of a float32.
    'BFloat16Storage': 'bfloat16',
}
# Largest product of the other sizes of a tensor that has a size of 0.
LARGEST_EMPTY_SIZE = 2**31


class _StorageType(NamedTuple):
    """Type of the numbers of a storage.

    Attributes:
        code: Numpy's code of the type, or "bfloat16".
    """

    code: str

    @property
    def itemsize(self) -> int:
        """int: Size of a number in bytes."""
        return 2 if self.code == 'bfloat16' else np.dtype(self.code).itemsize


class _StoredNumbers(NamedTuple):
    """Description of the numbers of a storage.

    Attributes:
        type: Type of the numbers.
        key: Name of the storage within its file.
        size: How many numbers there are.
    """

    type: _StorageType
    key: str
    size: int


# Replacements of the names in a storage's header. None is callable.
_STORAGE_NAMES = {
    ('torch', name): _StorageType(code) for name, code in STORAGES.items()
}


def pickled_tensor_names(
    budget: Budget,
) -> Dict[Tuple[str, str], Callable[..., Any]]:
    """Return replacements of the names in pickles of tensors.

    Args:
        budget (Budget): Memory budget of the file.

    Returns:
        dict: Replacement of each (module, attribute), for
        :class:`PlainPickle`.
    """
    return {
        ('_codecs', 'encode'): partial(_encode, budget),
        ('torch.storage', '_load_from_bytes'): partial(_load_storage, budget),
        ('torch._utils', '_rebuild_tensor_v2'): partial(_tensor, budget),
        ('collections', 'OrderedDict'): _no_hooks,
    }


def _encode(budget: Budget, text: Any, encoding: Any) -> bytes:
    """Return bytes, which protocol 2 stores as text."""
    if encoding != 'latin1' or type(text) is not str:
        raise pickle.UnpicklingError(
            f'it holds bytes in {printable(encoding, 80)}, expected latin1'
        )
    budget.spend(len(text))
    return text.encode('latin1')


def _load_storage(budget: Budget, data: Any) -> np.ndarray:
    # A file can read the same bytes many times; each time counts.
    budget.spend(TENSOR_COST + 2 * len(data))
    return _read_storage(data)


def _tensor(
    budget: Budget,
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any,
    hooks: Any,
    metadata: Any = None,
) -> np.ndarray:
    """Return a tensor; takes the arguments of ``_rebuild_tensor_v2``."""
    budget.spend(TENSOR_COST)
    return _view(storage, offset, size, stride)


def _no_hooks(*arguments: Any) -> dict:
    """Return a tensor's backward hooks, of which there are none."""
    if arguments:
        raise pickle.UnpicklingError('it holds an OrderedDict of items')
    return {}


def _read_storage(data: Any) -> np.ndarray:
    """Return the numbers of a storage, of shape (size,)."""
    if type(data) is not bytes:
        raise pickle.UnpicklingError(
            f'it has a storage of type {type(data).__name__}, expected bytes'
        )
    # A header is cut at LONGEST_HEADER, so that a budget of its own suffices.
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
            'it was written on a big-endian machine; write it on a '
            'little-endian one, such as any x86 or ARM computer'
        )
    if not isinstance(stored, _StoredNumbers) or keys != [stored.key]:
        raise pickle.UnpicklingError(
            'it holds something else where the numbers of one tensor are '
            'expected'
        )
    # The header is followed by the number of numbers, in 8 bytes.
    begin = header.at + 8
    if stored.size * stored.type.itemsize != len(data) - begin or (
        data[header.at : begin] != struct.pack('<q', stored.size)
    ):
        raise pickle.UnpicklingError(
            f'it has a storage of {printable(stored.size, 80)} numbers in '
            f'{max(0, len(data) - begin)} bytes'
        )
    return _numbers(data, begin, stored.type)


def _numbers(data: bytes, begin: int, kind: _StorageType) -> np.ndarray:
    """Return the numbers of a type from a position of the bytes on."""
    if kind.code != 'bfloat16':
        return np.frombuffer(data, kind.code, offset=begin)
    upper = np.frombuffer(data, '<u2', offset=begin)
    return (upper.astype('<u4') << 16).view('<f4')


def _find_stored(stored: Any) -> _StoredNumbers:
    """Return the description of a storage for its persistent id."""
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
    """Return a tensor as a view of its storage.

    Args:
        storage (np.ndarray): Numbers of shape (n,).
        offset (int): Position of the first number.
        size (tuple[int, ...]): Shape of the tensor.
        stride (tuple[int, ...]): Step in each dimension, in numbers.

    Raises:
        pickle.UnpicklingError: If an argument is of another type, or the
            tensor reaches beyond the storage.
    """
    if not (
        isinstance(storage, np.ndarray)
        and storage.ndim == 1
        and _is_count(offset)
        and _are_counts(size)
        and _are_counts(stride)
        and len(size) == len(stride)
    ):
        raise pickle.UnpicklingError(
            'it has a tensor whose offset, size and stride are not '
            f'whole numbers of 0 or more, in at most {MOST_DIMENSIONS} '
            'dimensions'
        )
    is_empty = 0 in size
    most = LARGEST_EMPTY_SIZE if is_empty else len(storage)
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
