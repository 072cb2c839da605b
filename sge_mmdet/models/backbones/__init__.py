"""Backbones with SGE."""
from .sge_resnet import SGEResNet, check_plugins

__all__ = ['SGEResNet', 'check_plugins']
