"""The SGE layer, as a plugin for the backbones of MMDetection."""

from ...ops import SpatialGroupEnhance
from .plugin import register_plugin

register_plugin('SpatialGroupEnhance', 'SGE')(SpatialGroupEnhance)

__all__ = ['SpatialGroupEnhance']
