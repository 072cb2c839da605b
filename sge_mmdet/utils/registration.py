"""Registration of classes that leaves alone what others have registered."""

import warnings
from typing import Callable, TypeVar

from mmengine.registry import Registry

Class = TypeVar('Class', bound=type)


def register(registry: Registry, *names: str) -> Callable[[Class], Class]:
    """Return a decorator that registers a class.

    ``Registry.register_module`` raises if a name is taken, so that another
    package with a class of that name could not be used together with this
    one. Here the class that came first keeps the name, and a warning says so.

    Args:
        registry (Registry): Registry of MMEngine or MMDetection.
        *names (str): Names of the class in configs. Default: its own name.

    Returns:
        Callable: The decorator, which returns the class as it is.
    """

    def decorate(cls: Class) -> Class:
        for name in names or (cls.__name__,):
            holder = registry.module_dict.get(name)
            if holder is None:
                registry.register_module(name=name, module=cls)
            elif holder is not cls:
                warnings.warn(
                    f'{name!r} in the registry {registry.name!r} is '
                    f'{holder.__module__}.{holder.__qualname__} already and '
                    f'stays so; sge_mmdet registers its {cls.__name__} '
                    'not under this name',
                    stacklevel=2,
                )
        return cls

    return decorate
