"""Numbers and arrays of numpy in a result pickle, which hold metadata.

Pipelines store homographies and scale factors as arrays, and some data sets
have ids that are whole numbers of numpy. Numbers are read. Arrays, which no
evaluation needs, are checked and not kept. Numpy's own unpickling is not used,
because it trusts the file.
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
    """Replacement of ``numpy.dtype(code, align, copy)``."""

    def __init__(self, code: Any) -> None:
        try:
            if not NUMBER_CODE.fullmatch(code):
                raise TypeError
            self.value = np.dtype(code)
        except TypeError:
            raise pickle.UnpicklingError(
                'it contains numpy.dtype of another kind than numbers: '
                f'{printable(code, 80)}'
            ) from None

    def set_state(self, state: Any) -> None:
        """Set the byte order, the only part of the state that numbers need."""
        if (
            type(state) is not tuple
            or len(state) < 2
            or (type(state[1]) is not str or state[1] not in BYTE_ORDERS)
        ):
            raise pickle.UnpicklingError(
                'it contains a numpy.dtype whose byte order is not one of '
                f'{" ".join(BYTE_ORDERS)}'
            )
        self.value = self.value.newbyteorder(state[1])


class _PickledArray(Stateful):
    """Replacement of an array; its numbers are not kept."""

    def __init__(self, kind: Any, shape: Any, code: Any) -> None:
        """Accept the arguments that numpy writes; none of them is needed."""

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
                'not fit each other, or that holds more than numbers'
            )


def _scalar(dtype: Any, data: Any) -> Union[bool, int, float]:
    """Return the number that bytes of a type hold."""
    if not (
        type(dtype) is _PickledDtype
        and type(data) is bytes
        and len(data) == dtype.value.itemsize
    ):
        raise pickle.UnpicklingError(
            'it contains a number of numpy whose type and bytes do not fit '
            'each other'
        )
    return np.frombuffer(data, dtype.value)[0].item()


def _no_bytes() -> bytes:
    return b''


def pickled_array_names(
    budget: Budget,
) -> Dict[Tuple[str, str], Callable[..., Any]]:
    """Return replacements of the names in pickles of arrays and numbers.

    Args:
        budget (Budget): Memory budget of the file.

    Returns:
        dict: Replacement of each (module, attribute), for
        :class:`PlainPickle`.
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
        # An argument of _reconstruct, which is never called itself.
        ('numpy', 'ndarray'): None,
        # Protocol 2 writes the bytes of an array without numbers this way.
        ('__builtin__', 'bytes'): _no_bytes,
    }
    for module in 'numpy.core.multiarray', 'numpy._core.multiarray':
        names[module, '_reconstruct'] = _PickledArray
        names[module, 'scalar'] = _scalar
    return names
