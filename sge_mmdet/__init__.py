"""Spatial Group-wise Enhance (SGE, arXiv 1905.09646) for MMDetection 3.x.

Importing this package registers all that a config can name: model parts, the
metrics, the hooks and the optimizer wrapper. In a config that is
``custom_imports = dict(imports=['sge_mmdet'])``. Where MMDetection is not
installed, or mmcv has no operators (mmcv-lite), :mod:`sge_mmdet.ops` can still
be imported: it needs torch alone.
"""

import importlib
from typing import Any, List

from .compatibility import (
    describe_missing,
    missing_packages,
    warn_of_unsupported_versions,
)
from .version import __version__

# What this package offers, by the module that holds it. Loaded when it is
# first used.
_EXPORTS = {
    # The operator and the layer.
    'ops': ('spatial_group_enhance', 'spatial_group_enhance_residual'),
    'models.layers': ('SpatialGroupEnhance',),
    # Backbones and necks.
    'models.backbones': ('SGEResNet', 'SGEResNeXt'),
    'models.necks': ('SGEFPN',),
    # SGE in configs and checkpoints that exist already.
    'conversion': ('add_sge', 'convert_checkpoint'),
    # Average precision by object size.
    'evaluation': ('SmallObjectMetric', 'compare_detections', 'evaluate'),
    # What SGE is compared with.
    'models.baselines': (
        'BAM',
        'CBAM',
        'BAMResNet',
        'SKResNet',
        'SqueezeExcitation',
    ),
}
_MODULES = {
    name: module for module, names in _EXPORTS.items() for name in names
}
__all__ = ['__version__', *_MODULES]

_MISSING = missing_packages()
if not _MISSING:
    warn_of_unsupported_versions()
    from . import models  # noqa: F401
    from .engine import (
        allow_config_names,
        allow_mmengine_checkpoints,
        hooks,  # noqa: F401
    )
    from .evaluation import small_object_metric  # noqa: F401

    allow_config_names()
    allow_mmengine_checkpoints()


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module = _MODULES[name]
    if _MISSING and module != 'ops':
        raise ImportError(
            f'sge_mmdet.{name} needs {describe_missing(_MISSING)}'
        )
    return getattr(importlib.import_module(f'.{module}', __name__), name)


def __dir__() -> List[str]:
    return sorted({*globals(), *_MODULES})
