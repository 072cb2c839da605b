"""Import of packages that only the deployment needs."""

import importlib
from types import ModuleType


def require_package(package: str) -> ModuleType:
    """Import a package, or a module, of the extra "deployment".

    Args:
        package (str): Name of the package or module.

    Raises:
        ImportError: If the package is not installed; the message has the
            command that installs it.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f'{package.split(".")[0]} is not installed; in the folder of '
            'sge_mmdet, "pip install -e .[deployment]" installs it'
        ) from error
