"""Names that were elsewhere in an earlier version."""

import importlib
import warnings
from typing import Any, Callable, Mapping


def moved(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` that still finds names under old ones.

    Each use gives a DeprecationWarning with the new name.

    Args:
        module (str): The module's ``__name__``.
        names (Mapping[str, str]): The new full name of each old name.
    """

    def __getattr__(name: str) -> Any:
        if name not in names:
            raise AttributeError(
                f'module {module!r} has no attribute {name!r}'
            )
        place, new = names[name].rsplit('.', 1)
        warnings.warn(
            f'{module}.{name} is now {place}.{new}, and will not be found '
            'under its old name from version 0.3 on',
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(importlib.import_module(place), new)

    return __getattr__
