"""Paths of the configs and tools of MMDetection and of this package.

A wheel has them in the folder ``.mim`` inside the package, a clone in the
folder that contains the package.
"""

from pathlib import Path
from types import ModuleType

import mmdet
from mmdet import utils

import sge_mmdet


def register_all_modules(init_default_scope: bool = True) -> None:
    """Register MMDetection's modules; ``mmengine.hub.get_model`` calls this.

    Args:
        init_default_scope (bool): Unused; the default scope does not change.
            Default: True.
    """
    utils.register_all_modules(init_default_scope=False)


def upstream_path(*parts: str) -> Path:
    """Return the path of a config or tool of MMDetection.

    Args:
        *parts (str): Parts of the path, such as "tools", "train.py".

    Raises:
        FileNotFoundError: If the installed MMDetection does not have it.
    """
    return _shipped_path(mmdet, 'MMDetection', *parts)


def own_path(*parts: str) -> Path:
    """Return the path of a config or tool of this package.

    Args:
        *parts (str): Parts of the path, such as "configs", "sge".

    Raises:
        FileNotFoundError: If the installed package does not have it.
    """
    return _shipped_path(sge_mmdet, 'sge_mmdet', *parts)


def _shipped_path(module: ModuleType, name: str, *parts: str) -> Path:
    package = Path(str(module.__file__)).resolve().parent
    for root in (package / '.mim', package.parent):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise FileNotFoundError(
        f'The {name} in {package} has no {"/".join(parts)}'
    )
