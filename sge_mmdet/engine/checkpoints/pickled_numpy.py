"""Arrays and numbers of numpy in checkpoints, which hold MMEngine's logs."""

from typing import Any, Callable, Dict, SupportsIndex

import numpy as np

from ...utils.pickled_numpy import MODULES, PickledDtype, new_scalar
from ...utils.plain_pickle import Stateful
from .refusal import Refused


class PickledArray(Stateful, np.ndarray):
    """Array that a pickle fills only with numbers; pickled as ``ndarray``."""

    def __new__(cls, *args: Any) -> 'PickledArray':
        """Refuse calls; numpy's pickles create arrays by ``_reconstruct``."""
        raise Refused('it contains numpy.ndarray as a function')

    def set_state(self, state: Any) -> None:
        """Set shape, type and bytes; numpy checks that they match."""
        if type(state) is not tuple:
            raise Refused(
                'the state of an array or of its type is not a tuple'
            )
        version, shape, dtype, is_fortran, data = state
        if not (isinstance(dtype, PickledDtype) and isinstance(data, bytes)):
            raise Refused('it contains an array of more than numbers')
        self.__setstate__((version, shape, dtype.value, is_fortran, data))

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Pickle as ``numpy.ndarray``."""
        return self.view(np.ndarray).__reduce_ex__(protocol)


def new_array(cls: type, shape: Any, code: Any) -> PickledArray:
    """Stand in for ``_reconstruct``; return an empty array to be filled."""
    return np.ndarray.__new__(PickledArray, (0,), 'b')


# Stand-ins by their names in pickles.
CLASSES = {'numpy.ndarray': PickledArray}
FUNCTIONS: Dict[str, Callable[..., Any]] = {'numpy.dtype': PickledDtype}
for _module in MODULES:
    FUNCTIONS[f'{_module}._reconstruct'] = new_array
    FUNCTIONS[f'{_module}.scalar'] = new_scalar
