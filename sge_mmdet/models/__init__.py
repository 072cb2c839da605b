"""Backbones, necks and layers registered in MMDetection's registries."""

from . import generated  # noqa: F401
from .backbones import SGEResNet, SGEResNeXt
from .baselines import BAM, CBAM, BAMResNet, SKResNet, SqueezeExcitation
from .layers import SpatialGroupEnhance
from .legacy import (
    LegacyFCNMaskHead,
    LegacySingleRoIExtractor,
    StrictLegacyDeltaXYWHBBoxCoder,
)
from .necks import SGEFPN, SGEHRFPN, SGEPAFPN, SGEChannelMapper

__all__ = [
    'BAM',
    'CBAM',
    'SGEFPN',
    'SGEHRFPN',
    'SGEPAFPN',
    'BAMResNet',
    'LegacyFCNMaskHead',
    'LegacySingleRoIExtractor',
    'SGEChannelMapper',
    'SGEResNeXt',
    'SGEResNet',
    'SKResNet',
    'SpatialGroupEnhance',
    'SqueezeExcitation',
    'StrictLegacyDeltaXYWHBBoxCoder',
]
