"""Backbones with SGE, and with what it is compared with."""
from .compared import BAMResNet, SKResNet
from .sge_resnet import PLUGIN_POSITIONS, SGEResNet, check_plugins
from .sge_resnext import SGEResNeXt

__all__ = [
    'PLUGIN_POSITIONS', 'BAMResNet', 'SGEResNeXt', 'SGEResNet', 'SKResNet',
    'check_plugins'
]
