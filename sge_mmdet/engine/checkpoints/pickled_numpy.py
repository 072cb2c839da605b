"""Stand-ins for numpy in pickles, which build only numbers and arrays of them.

Numpy's own unpickling trusts the file: a call of ``ndarray`` or a forged state
of a ``dtype`` turns bytes into object pointers. These stand-ins accept the
same calls and refuse anything but plain numbers.
"""

import re
from typing import Any, Callable, Dict, SupportsIndex, Tuple, cast

import numpy as np

from .refusal import Refused

# Codes of boolean, integer, unsigned and floating-point types.
NUMBER_CODE = re.compile(r'[<>|=]?[biuf]\d{1,2}')


class PickledDtype:
    """Stand-in for ``numpy.dtype(code, align, copy)``."""

    def __init__(
        self, code: str, align: Any = False, copy: Any = False
    ) -> None:
        if not (isinstance(code, str) and NUMBER_CODE.fullmatch(code)):
            raise Refused('it contains a numpy.dtype that is not of numbers')
        self.value = np.dtype(code)

    def __setstate__(self, state: Tuple) -> None:
        """Set the byte order; the rest of the state does not matter."""
        order = state[1]
        if not isinstance(order, str) or order not in ('<', '>', '|', '='):
            raise Refused('it contains numbers of no byte order')
        self.value = self.value.newbyteorder(cast(Any, order))


class PickledArray(np.ndarray):
    """Array that a pickle fills only with numbers; pickled as ``ndarray``."""

    def __new__(cls, *args: Any) -> 'PickledArray':
        """Refuse calls; numpy's pickles create arrays by ``_reconstruct``."""
        raise Refused('it contains numpy.ndarray as a function')

    def __setstate__(self, state: Tuple) -> None:
        """Set shape, type and bytes; numpy checks that they match."""
        version, shape, dtype, is_fortran, data = state
        if not (isinstance(dtype, PickledDtype) and isinstance(data, bytes)):
            raise Refused('it contains an array of more than numbers')
        super().__setstate__((version, shape, dtype.value, is_fortran, data))

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Pickle as ``numpy.ndarray``."""
        return self.view(np.ndarray).__reduce_ex__(protocol)


def new_array(cls: type, shape: Any, code: Any) -> PickledArray:
    """Stand in for ``_reconstruct``; return an empty array to be filled."""
    return np.ndarray.__new__(PickledArray, (0,), 'b')


def new_scalar(dtype: PickledDtype, data: bytes) -> np.generic:
    """Stand in for ``scalar``; return the number in the bytes."""
    if not (
        isinstance(dtype, PickledDtype)
        and isinstance(data, bytes)
        and len(data) == dtype.value.itemsize
    ):
        raise Refused(
            'it contains a NumPy number whose type and bytes do not fit'
        )
    return np.frombuffer(data, dtype.value)[0]


# Stand-ins by their names in pickles; numpy 2 renamed one module.
CLASSES = {'numpy.ndarray': PickledArray}
FUNCTIONS: Dict[str, Callable[..., Any]] = {'numpy.dtype': PickledDtype}
for _module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
    FUNCTIONS[f'{_module}._reconstruct'] = new_array
    FUNCTIONS[f'{_module}.scalar'] = new_scalar
