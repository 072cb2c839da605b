"""Names of a module that other modules define: moved, or imported late."""

import importlib
import warnings
from typing import Any, Callable, Mapping


def moved(
    module: str, names: Mapping[str, str], lazy: Mapping[str, str] = {}
) -> Callable[[str], Any]:
    """Return a ``__getattr__`` with which a module still has its old names.

    Each use gives a DeprecationWarning with the new name.

    Args:
        module (str): Full name of the module.
        names (Mapping[str, str]): Full new names by old name.
        lazy (Mapping[str, str]): Submodules by the name in them that the
            module has too, and that is imported at its first use. Default:
            none.

    Returns:
        Callable: The function, to be assigned to ``__getattr__``.
    """

    def __getattr__(name: str) -> Any:
        if name in lazy:
            submodule = importlib.import_module(f'{module}.{lazy[name]}')
            return getattr(submodule, name)
        if name not in names:
            raise AttributeError(
                f'module {module!r} has no attribute {name!r}'
            )
        place, new = names[name].rsplit('.', 1)
        warnings.warn(
            f'{module}.{name} is now {place}.{new}; the old name will be '
            'removed in version 0.3',
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(importlib.import_module(place), new)

    return __getattr__
