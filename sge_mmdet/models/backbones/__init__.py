"""Backbones with SGE."""

from ...utils.moved import moved
from .sge_resnet import SGEResNet
from .sge_resnext import SGEResNeXt

__all__ = ['SGEResNeXt', 'SGEResNet']

__getattr__ = moved(
    __name__,
    {
        'PLUGIN_POSITIONS': 'sge_mmdet.models.layers.PLUGIN_POSITIONS',
        'check_plugins': 'sge_mmdet.models.layers.check_plugins',
        'BAMResNet': 'sge_mmdet.models.baselines.BAMResNet',
        'SKResNet': 'sge_mmdet.models.baselines.SKResNet',
    },
)
