"""MMDetection on a machine without mmcv's compiled operators.

Scripts import this before ``sge_mmdet``, which imports MMDetection where it
is installed. MMDetection imports mmcv's wrappers of its operators; without
the operators they then do so as well, and a call of one fails.
"""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType


def has_operators() -> bool:
    """Return whether mmcv's compiled operators are installed."""
    if importlib.util.find_spec('mmcv') is None:
        return False
    spec = importlib.util.find_spec('mmcv._ext')
    return spec is not None and spec.loader is not None


class _Missing(ModuleType):
    """Stands for mmcv's compiled operators, which fail when called."""

    def __getattr__(self, name: str) -> object:
        if name.startswith('__'):
            raise AttributeError(name)

        def call(*_: object, **__: object) -> None:
            raise RuntimeError(
                f'mmcv was installed without its operator '
                f'{name}: pip install mmcv==2.1.0'
            )

        return call


if importlib.util.find_spec('mmcv') is not None and not has_operators():
    missing = _Missing('mmcv._ext')
    # Without one, whoever looks whether it is installed gets an error.
    missing.__spec__ = ModuleSpec(missing.__name__, None)
    sys.modules[missing.__name__] = missing
