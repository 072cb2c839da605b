"""Runs a script where MMPretrain is installed and torchvision cannot be.

    python tests/helpers/without_torchvision.py SCRIPT [ARGUMENTS]

MMPretrain imports torchvision for transforms that no config here uses, and
torchvision's package on PyPI imports with PyTorch for CUDA alone. Where it
cannot be imported, empty modules stand in for it.
"""

import runpy
import sys
from types import ModuleType

MODULES = (
    'torchvision',
    'torchvision.transforms',
    'torchvision.ops',
    'torchvision.transforms.functional',
    'torchvision.ops.boxes',
    'torchvision.transforms.transforms',
)


class StandIn(ModuleType):
    """A module whose every name is an empty class."""

    __version__ = '0'

    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)
        return type(name, (), {})


def main():
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        for name in MODULES:
            sys.modules[name] = StandIn(name)
            parent, _, child = name.rpartition('.')
            if parent:
                setattr(sys.modules[parent], child, sys.modules[name])
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name='__main__')


if __name__ == '__main__':
    main()
