"""The SGE layer, as a plugin for the backbones of MMDetection."""

from ...ops import SpatialGroupEnhance
from .plugins import register_plugin

register_plugin('SpatialGroupEnhance', 'SGE')(SpatialGroupEnhance)

__all__ = ['SpatialGroupEnhance']
