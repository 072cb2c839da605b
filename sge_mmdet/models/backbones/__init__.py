"""Backbones with SGE."""
from .sge_resnet import SGEResNet

__all__ = ['SGEResNet']
