"""Layers to be plugged into models."""
from .spatial_group_enhance import SpatialGroupEnhance

__all__ = ['SpatialGroupEnhance']
