"""Spatial Group-wise Enhance (SGE, arXiv 1905.09646) for MMDetection 3.x.

Importing this package registers its model parts in MMDetection's registry; in
a config that is ``custom_imports = dict(imports=['sge_mmdet'])``. Where
MMDetection is not installed, :mod:`sge_mmdet.ops` can still be imported: it
needs torch alone.
"""
from .compatibility import missing_packages, warn_of_unsupported_versions
from .version import __version__

_MISSING = missing_packages()
_NEED_MMDET = ('BAM', 'BAMResNet', 'CBAM', 'SGEFPN', 'SGEResNeXt',
               'SGEResNet', 'SKResNet', 'SpatialGroupEnhance',
               'SqueezeExcitation', 'add_sge')

if not _MISSING:
    warn_of_unsupported_versions()
    # These register the metrics and the hook.
    from . import evaluation, visualization  # noqa: F401
    from .conversion import add_sge
    from .models import (
        BAM,
        CBAM,
        SGEFPN,
        BAMResNet,
        SGEResNet,
        SGEResNeXt,
        SKResNet,
        SpatialGroupEnhance,
        SqueezeExcitation,
    )
    from .runner import allow_mmengine_checkpoints
    allow_mmengine_checkpoints()

__all__ = [
    'BAM', 'CBAM', 'SGEFPN', 'BAMResNet', 'SGEResNeXt', 'SGEResNet',
    'SKResNet', 'SpatialGroupEnhance', 'SqueezeExcitation', '__version__',
    'add_sge'
]


def __getattr__(name: str) -> None:
    if name in _NEED_MMDET:
        raise ImportError(f'sge_mmdet.{name} needs {", ".join(_MISSING)}, '
                          'which cannot be imported here; see the README for '
                          'how to install MMDetection')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
