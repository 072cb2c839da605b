"""Model parts in the registry of MMDetection."""
from .backbones import SGEResNet
from .layers import SpatialGroupEnhance

__all__ = ['SGEResNet', 'SpatialGroupEnhance']
