"""Backbones with SGE."""

from ...utils.moved import moved
from .sge_resnet import PLUGIN_POSITIONS, SGEResNet, check_plugins
from .sge_resnext import SGEResNeXt

__all__ = ['PLUGIN_POSITIONS', 'SGEResNeXt', 'SGEResNet', 'check_plugins']

__getattr__ = moved(
    __name__,
    {
        'BAMResNet': 'sge_mmdet.models.baselines.BAMResNet',
        'SKResNet': 'sge_mmdet.models.baselines.SKResNet',
    },
)
