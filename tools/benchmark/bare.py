"""MMDetection on a machine without mmcv's compiled operators.

Scripts import this before ``sge_mmdet``, which imports MMDetection where it
is installed. MMDetection imports mmcv's wrappers of its operators; without
the operators they then do so as well, and a call of one fails.
"""

import importlib.util
from types import ModuleType


def has_operators() -> bool:
    """Return whether mmcv's compiled operators are installed."""
    return (
        importlib.util.find_spec('mmcv') is not None
        and importlib.util.find_spec('mmcv._ext') is not None
    )


class _Missing(ModuleType):
    """Stands for a compiled module; its functions fail when called."""

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
    from mmcv.utils import ext_loader

    ext_loader.load_ext = lambda name, functions: _Missing(name)
