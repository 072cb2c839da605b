"""Backbones with SGE."""
from .sge_resnet import PLUGIN_POSITIONS, SGEResNet, check_plugins
from .sge_resnext import SGEResNeXt

__all__ = [
    'PLUGIN_POSITIONS', 'SGEResNeXt', 'SGEResNet', 'check_plugins'
]
