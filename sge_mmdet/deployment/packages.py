"""Import of packages that only deployment needs."""

import importlib
from types import ModuleType


def require_package(package: str) -> ModuleType:
    """Import a package, or a module, of the extra "deployment".

    Args:
        package (str): Name of the package or module.

    Raises:
        ImportError: If it is not installed; the message says how to install
            it.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f'{package.split(".")[0]} is not installed: pip install '
            '-e .[deployment]'
        ) from error
