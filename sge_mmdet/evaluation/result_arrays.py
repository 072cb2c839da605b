"""Numbers and arrays of numpy in a result pickle, which hold metadata.

Pipelines note homographies and scale factors as arrays, and some data sets
their ids as numpy's whole numbers. Numbers are read; arrays, which no
evaluation needs, are checked and forgotten. Numpy's own unpickling, which
trusts what a file says, is not used.
"""

import math
import pickle
import re
from typing import Any, Callable, Dict, Tuple, Union

import numpy as np

from ..utils import printable
from ..utils.plain_pickle import Budget, Stateful

# Boolean, integer, unsigned and floating point.
NUMBER_CODE = re.compile(r'[<>|=]?[biuf]\d{1,2}')
BYTE_ORDERS = ('<', '>', '|', '=')
MOST_DIMENSIONS = 8
# Memory of a type, in bytes.
DTYPE_COST = 300


class _PickledDtype(Stateful):
    """What ``numpy.dtype(code, align, copy)`` stands for."""

    def __init__(self, code: Any) -> None:
        try:
            if not NUMBER_CODE.fullmatch(code):
                raise TypeError
            self.value = np.dtype(code)
        except TypeError:
            raise pickle.UnpicklingError(
                'it contains numpy.dtype of what is no number: '
                f'{printable(code, 80)}'
            ) from None

    def set_state(self, state: Any) -> None:
        """Take the byte order, the one part of the state of a number."""
        if (
            type(state) is not tuple
            or len(state) < 2
            or (type(state[1]) is not str or state[1] not in BYTE_ORDERS)
        ):
            raise pickle.UnpicklingError(
                'it contains numbers of no byte order'
            )
        self.value = self.value.newbyteorder(state[1])


class _PickledArray(Stateful):
    """Stands for an array, whose numbers are not kept."""

    def __init__(self, kind: Any, shape: Any, code: Any) -> None:
        """Take what numpy always gives, and look at none of it."""

    def set_state(self, state: Any) -> None:
        """Check that shape, type and bytes fit each other."""
        if type(state) is not tuple or len(state) != 5:
            raise pickle.UnpicklingError(
                'it contains an array of numpy that '
                'is not written as numpy does'
            )
        _, shape, dtype, _, data = state
        if not (
            type(shape) is tuple
            and len(shape) <= MOST_DIMENSIONS
            and all(type(n) is int and 0 <= n < 2**31 for n in shape)
            and type(dtype) is _PickledDtype
            and type(data) is bytes
            and math.prod(shape) * dtype.value.itemsize == len(data)
        ):
            raise pickle.UnpicklingError(
                'it contains an array of numpy whose shape, type and bytes do '
                'not fit each other, or of more than numbers'
            )


def _scalar(dtype: Any, data: Any) -> Union[bool, int, float]:
    """Return the number that some bytes are."""
    if not (
        type(dtype) is _PickledDtype
        and type(data) is bytes
        and len(data) == dtype.value.itemsize
    ):
        raise pickle.UnpicklingError(
            'it contains a number of numpy that is none'
        )
    return np.frombuffer(data, dtype.value)[0].item()


def _no_bytes() -> bytes:
    return b''


def pickled_array_names(
    budget: Budget,
) -> Dict[Tuple[str, str], Callable[..., Any]]:
    """Return what the names in pickles of arrays and their numbers stand for.

    Args:
        budget (Budget): Memory budget of the file.

    Returns:
        dict: For :class:`PlainPickle`.
    """

    def dtype(
        code: Any,
        align: Any = None,
        copy: Any = None,
    ) -> _PickledDtype:
        budget.spend(DTYPE_COST)
        return _PickledDtype(code)

    names: Dict[Tuple[str, str], Any] = {
        ('numpy', 'dtype'): dtype,
        # Named, and never called.
        ('numpy', 'ndarray'): None,
        # How protocol 2 writes those of an array without numbers.
        ('__builtin__', 'bytes'): _no_bytes,
    }
    for module in 'numpy.core.multiarray', 'numpy._core.multiarray':
        names[module, '_reconstruct'] = _PickledArray
        names[module, 'scalar'] = _scalar
    return names
