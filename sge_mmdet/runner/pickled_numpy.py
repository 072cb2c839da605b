"""Numbers and arrays of numpy read from a pickle, and nothing else of it.

Numpy's own unpickling trusts the file: a call of ``ndarray`` or a forged state
of a ``dtype`` turns bytes into object pointers. These stand-ins take the same
calls and build arrays and scalars of plain numbers only. Anything else raises
a ``pickle.UnpicklingError``.
"""
import pickle
from typing import Any, Tuple

import numpy as np

# Boolean, integer, unsigned and floating point.
NUMBER_KINDS = 'biuf'


class PickledDtype:
    """What ``numpy.dtype(code, align, copy)`` in a pickle stands for."""

    def __init__(self, code: str, align: Any = False,
                 copy: Any = False) -> None:
        dtype = np.dtype(code) if isinstance(code, str) else None
        if dtype is None or dtype.kind not in NUMBER_KINDS:
            raise pickle.UnpicklingError(
                f'Unsupported global: GLOBAL numpy.dtype({code!r})')
        self.value = dtype

    def __setstate__(self, state: Tuple) -> None:
        """Take the byte order, the one part of the state of a number."""
        order = state[1]
        if order not in ('<', '>', '|', '='):
            raise pickle.UnpicklingError(f'A byte order is not {order!r}')
        self.value = self.value.newbyteorder(order)


class PickledArray(np.ndarray):
    """An array that a pickle may fill with numbers; saved as a plain one."""

    def __new__(cls, *args: Any) -> 'PickledArray':
        """Refuse: numpy's pickles reach arrays through ``_reconstruct``."""
        raise pickle.UnpicklingError(
            'Unsupported global: GLOBAL numpy.ndarray as a function')

    def __setstate__(self, state: Tuple) -> None:
        """Take shape, type and bytes; numpy checks that they fit."""
        version, shape, dtype, is_fortran, data = state
        if not (isinstance(dtype, PickledDtype) and isinstance(data, bytes)):
            raise pickle.UnpicklingError('An array of numbers is expected')
        super().__setstate__((version, shape, dtype.value, is_fortran, data))

    def __reduce_ex__(self, protocol: int) -> Tuple:
        """Pickle as ``numpy.ndarray``."""
        return self.view(np.ndarray).__reduce_ex__(protocol)


def new_array(cls: type, shape: Any, code: Any) -> PickledArray:
    """Stand in for ``_reconstruct``: an empty array, to be filled."""
    return np.ndarray.__new__(PickledArray, (0, ), 'b')


def new_scalar(dtype: PickledDtype, data: bytes) -> np.generic:
    """Stand in for ``scalar``: the number that the bytes are."""
    if not (isinstance(dtype, PickledDtype) and isinstance(data, bytes)
            and len(data) == dtype.value.itemsize):
        raise pickle.UnpicklingError('One number is expected')
    return np.frombuffer(data, dtype.value)[0]


def empty_bytes() -> bytes:
    """Stand in for ``bytes()``, the data of an empty array."""
    return b''


# By the names that pickles call them; numpy 2 renamed one module.
STAND_INS = [(PickledDtype, 'numpy.dtype'), (PickledArray, 'numpy.ndarray'),
             (empty_bytes, 'builtins.bytes')]
for _module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
    STAND_INS += [(new_array, f'{_module}._reconstruct'),
                  (new_scalar, f'{_module}.scalar')]
