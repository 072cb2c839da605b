"""Configs and tools of the installed MMDetection, and those of this package.

Both ship them beside their modules: a wheel in the folder ``.mim`` of the
package, a clone in the folder above it.
"""

from pathlib import Path
from types import ModuleType

import mmdet
from mmdet import utils

import sge_mmdet


def register_all_modules(init_default_scope: bool = True) -> None:
    """Register MMDetection's modules, as ``mmengine.hub.get_model`` asks.

    Args:
        init_default_scope (bool): Not used, since the default scope is left
            as it is. Default: True.
    """
    utils.register_all_modules(init_default_scope=False)


def upstream_path(*parts: str) -> Path:
    """Return a path in what MMDetection ships besides its modules.

    Args:
        *parts (str): Path below its root, such as "tools", "train.py".

    Raises:
        FileNotFoundError: If this MMDetection came without it.
    """
    return _shipped_path(mmdet, 'MMDetection', *parts)


def own_path(*parts: str) -> Path:
    """Return a path in what this package ships besides its modules.

    Args:
        *parts (str): Path below its root, such as "configs", "sge".

    Raises:
        FileNotFoundError: If this package came without it.
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
