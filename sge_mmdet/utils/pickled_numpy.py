"""Stand-ins for numpy in pickles, which accept only numbers.

Numpy's own unpickling trusts the file: a call of ``ndarray`` or a forged state
of a ``dtype`` turns bytes into object pointers. These stand-ins accept the
same calls and refuse anything but plain numbers.
"""

import re
from typing import Any, cast

import numpy as np

from .plain_pickle import Refused, Stateful
from .text import printable

# Codes of boolean, integer, unsigned and floating-point types.
NUMBER_CODE = re.compile(r'[<>|=]?[biuf]\d{1,2}')
BYTE_ORDERS = ('<', '>', '|', '=')
# Modules of numpy's functions in pickles; numpy 2 renamed them.
MODULES = ('numpy.core.multiarray', 'numpy._core.multiarray')


class PickledDtype(Stateful):
    """Stand-in for ``numpy.dtype(code, align, copy)``.

    Attributes:
        value (np.dtype): The type.
    """

    def __init__(
        self, code: Any, align: Any = False, copy: Any = False
    ) -> None:
        try:
            if not NUMBER_CODE.fullmatch(code):
                raise TypeError
            self.value = np.dtype(code)
        except TypeError:
            raise Refused(
                'it contains numpy.dtype of another kind than numbers: '
                f'{printable(code, 80)}'
            ) from None

    def set_state(self, state: Any) -> None:
        """Set the byte order, the only part of the state that numbers need."""
        if type(state) is not tuple:
            raise Refused(
                'the state of an array or of its type is not a tuple'
            )
        order = state[1] if len(state) > 1 else None
        if type(order) is not str or order not in BYTE_ORDERS:
            raise Refused(
                'it contains a numpy.dtype whose byte order is not one of '
                f'{" ".join(BYTE_ORDERS)}'
            )
        self.value = self.value.newbyteorder(cast(Any, order))


def new_scalar(dtype: Any, data: Any) -> np.generic:
    """Stand in for ``scalar``; return the number that bytes of a type hold."""
    if not (
        type(dtype) is PickledDtype
        and type(data) is bytes
        and len(data) == dtype.value.itemsize
    ):
        raise Refused(
            'it contains a number of numpy whose type and bytes do not fit '
            'each other'
        )
    return np.frombuffer(data, dtype.value)[0]
