"""Layers to be plugged into models."""
from .spatial_group_enhance import SpatialGroupEnhance
from .squeeze_excitation import SqueezeExcitation

__all__ = ['SpatialGroupEnhance', 'SqueezeExcitation']
