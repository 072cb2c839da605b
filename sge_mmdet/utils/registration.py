"""Registration of classes without replacing those of other packages."""

import warnings
from typing import Callable, TypeVar

from mmengine.registry import Registry

Class = TypeVar('Class', bound=type)


def register(registry: Registry, *names: str) -> Callable[[Class], Class]:
    """Return a decorator that registers a class.

    ``Registry.register_module`` raises if a name is taken, so that this
    package could not be used together with another one that has a class of
    the same name. This decorator warns instead, and the class that was
    registered first keeps the name.

    Args:
        registry (Registry): Registry of MMEngine or MMDetection.
        *names (str): Names of the class in configs. Default: its own name.

    Returns:
        Callable: Decorator, which returns the class unchanged.
    """

    def decorate(cls: Class) -> Class:
        for name in names or (cls.__name__,):
            holder = registry.module_dict.get(name)
            if holder is None:
                registry.register_module(name=name, module=cls)
            elif holder is not cls:
                warnings.warn(
                    f'{name!r} in the registry {registry.name!r} is already '
                    f'{holder.__module__}.{holder.__qualname__}, which keeps '
                    f'the name; the {cls.__name__} of sge_mmdet is not '
                    'registered under it',
                    stacklevel=2,
                )
        return cls

    return decorate
