"""MMDetection on a machine without mmcv's compiled operators."""
import importlib.util
from types import ModuleType


def has_operators() -> bool:
    """Return whether mmcv's compiled operators are installed."""
    return importlib.util.find_spec('mmcv._ext') is not None


def allow_missing_operators() -> None:
    """Let MMDetection be imported without mmcv's compiled operators.

    mmcv's wrappers of them are imported with mmdet; a call of one then fails.
    With the operators it does nothing.
    """
    if has_operators():
        return
    from mmcv.utils import ext_loader

    def load_ext(name: str, functions: 'list[str]') -> ModuleType:
        return _Missing(name)

    ext_loader.load_ext = load_ext


class _Missing(ModuleType):
    """Stands for a compiled module; its functions fail when called."""

    def __getattr__(self, name: str) -> object:
        if name.startswith('__'):
            raise AttributeError(name)

        def call(*_: object, **__: object) -> None:
            raise RuntimeError(f'mmcv was installed without its operator '
                               f'{name}: pip install mmcv==2.1.0')
        return call
