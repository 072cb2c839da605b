"""Baselines for SGE: other attention layers and backbones with them."""

from .backbones import BAMResNet, SKResNet
from .bam import BAM
from .cbam import CBAM
from .selective_kernel import SelectiveKernel
from .squeeze_excitation import SqueezeExcitation

__all__ = [
    'BAM',
    'CBAM',
    'BAMResNet',
    'SKResNet',
    'SelectiveKernel',
    'SqueezeExcitation',
]
