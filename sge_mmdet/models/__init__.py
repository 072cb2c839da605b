"""Model parts in the registry of MMDetection."""
from .backbones import SGEResNet, SGEResNeXt
from .layers import SpatialGroupEnhance
from .legacy import (
    LegacyFCNMaskHead,
    LegacySingleRoIExtractor,
    StrictLegacyDeltaXYWHBBoxCoder,
)
from .necks import SGEFPN

__all__ = [
    'SGEFPN', 'LegacyFCNMaskHead', 'LegacySingleRoIExtractor', 'SGEResNeXt',
    'SGEResNet', 'SpatialGroupEnhance', 'StrictLegacyDeltaXYWHBBoxCoder'
]
