"""Numbers and arrays of numpy in a result pickle, which hold metadata.

Pipelines store homographies and scale factors as arrays, and some data sets
have ids that are whole numbers of numpy. Numbers are read. Arrays, which no
evaluation needs, are checked and not kept.
"""

import math
from typing import Any, Callable, Dict, Tuple, Union

from ..utils.pickled_numpy import MODULES, PickledDtype, new_scalar
from ..utils.plain_pickle import Budget, Refused, Stateful

MOST_DIMENSIONS = 8
# Memory of a type, in bytes.
DTYPE_COST = 300


class _PickledArray(Stateful):
    """Replacement of an array; its numbers are not kept."""

    def __init__(self, kind: Any, shape: Any, code: Any) -> None:
        """Accept the arguments that numpy writes; none of them is needed."""

    def set_state(self, state: Any) -> None:
        """Check that shape, type and bytes fit each other."""
        if type(state) is not tuple or len(state) != 5:
            raise Refused(
                'it contains an array of numpy that '
                'is not written as numpy does'
            )
        _, shape, dtype, _, data = state
        if not (
            type(shape) is tuple
            and len(shape) <= MOST_DIMENSIONS
            and all(type(n) is int and 0 <= n < 2**31 for n in shape)
            and type(dtype) is PickledDtype
            and type(data) is bytes
            and math.prod(shape) * dtype.value.itemsize == len(data)
        ):
            raise Refused(
                'it contains an array of numpy whose shape, type and bytes do '
                'not fit each other, or that holds more than numbers'
            )


def _scalar(dtype: Any, data: Any) -> Union[bool, int, float]:
    """Return the number that bytes of a type hold, as Python's."""
    return new_scalar(dtype, data).item()


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
    ) -> PickledDtype:
        budget.spend(DTYPE_COST)
        return PickledDtype(code)

    names: Dict[Tuple[str, str], Any] = {
        ('numpy', 'dtype'): dtype,
        # An argument of _reconstruct, which is never called itself.
        ('numpy', 'ndarray'): None,
        # Protocol 2 writes the bytes of an array without numbers this way.
        ('__builtin__', 'bytes'): _no_bytes,
    }
    for module in MODULES:
        names[module, '_reconstruct'] = _PickledArray
        names[module, 'scalar'] = _scalar
    return names
