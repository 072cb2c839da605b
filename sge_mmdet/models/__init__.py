"""Model parts in the registry of MMDetection."""
from .backbones import SGEResNet, SGEResNeXt
from .layers import SpatialGroupEnhance
from .necks import SGEFPN

__all__ = ['SGEFPN', 'SGEResNeXt', 'SGEResNet', 'SpatialGroupEnhance']
