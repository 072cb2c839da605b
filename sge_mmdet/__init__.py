"""Spatial Group-wise Enhance (SGE, arXiv 1905.09646) for MMDetection 3.x.

Importing this package registers everything that a config can name: backbones,
necks, layers, the metrics, the hooks and the optimizer wrapper. A config does
so with ``custom_imports = dict(imports=['sge_mmdet'])``. Where MMDetection is
not installed, or mmcv has no operators (mmcv-lite), :mod:`sge_mmdet.ops` can
still be imported, because it needs only PyTorch.

Commands that read no config import :mod:`sge_mmdet_cli.files_alone` before.
Then nothing is registered, so that PyTorch and MMDetection, whose import takes
seconds, are not imported.
"""

import importlib
import sys
from typing import Any, List

from .compatibility import (
    describe_missing,
    missing_packages,
    warn_of_unsupported_versions,
)
from .version import __version__

# Public names by the module that defines them, imported at their first use.
_EXPORTS = {
    # The operator and the layer.
    'ops': (
        'SpatialGroupEnhance',
        'insert_sge',
        'spatial_group_enhance',
        'spatial_group_enhance_residual',
    ),
    # Backbones and necks.
    'models.backbones': ('SGEResNet', 'SGEResNeXt'),
    'models.necks': ('SGEFPN', 'SGEPAFPN', 'SGEHRFPN', 'SGEChannelMapper'),
    # SGE for existing configs and checkpoints.
    'conversion': ('add_sge', 'convert_checkpoint'),
    # Average precision by object size.
    'evaluation': ('SmallObjectMetric', 'compare_detections'),
    'evaluation.apis': ('compare', 'evaluate', 'report'),
    # Baselines.
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


def _register() -> None:
    """Register what a config can name, and let MMEngine find it."""
    warn_of_unsupported_versions()
    from . import models  # noqa: F401
    from .engine import (
        allow_config_names,
        allow_mmengine_checkpoints,
        hooks,  # noqa: F401
        report_new_layers,
    )
    from .evaluation import (
        legacy_coco_metric,  # noqa: F401
        small_object_metric,  # noqa: F401
    )

    allow_config_names()
    allow_mmengine_checkpoints()
    report_new_layers()


_MISSING: List[str] = []
if 'sge_mmdet_cli.files_alone' not in sys.modules:
    _MISSING = missing_packages()
    if not _MISSING:
        _register()


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
