"""Layers to be plugged into models."""
from .bam import BAM
from .cbam import CBAM
from .selective_kernel import SelectiveKernel
from .spatial_group_enhance import SpatialGroupEnhance
from .squeeze_excitation import SqueezeExcitation

__all__ = [
    'BAM', 'CBAM', 'SelectiveKernel', 'SpatialGroupEnhance',
    'SqueezeExcitation'
]
