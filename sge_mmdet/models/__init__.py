"""Model parts in the registry of MMDetection."""
from .backbones import BAMResNet, SGEResNet, SGEResNeXt, SKResNet
from .layers import BAM, CBAM, SpatialGroupEnhance, SqueezeExcitation
from .legacy import (
    LegacyFCNMaskHead,
    LegacySingleRoIExtractor,
    StrictLegacyDeltaXYWHBBoxCoder,
)
from .necks import SGEFPN

__all__ = [
    'BAM', 'CBAM', 'SGEFPN', 'BAMResNet', 'LegacyFCNMaskHead',
    'LegacySingleRoIExtractor', 'SGEResNeXt', 'SGEResNet', 'SKResNet',
    'SpatialGroupEnhance', 'SqueezeExcitation',
    'StrictLegacyDeltaXYWHBBoxCoder'
]
