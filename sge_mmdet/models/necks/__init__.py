"""Necks with SGE."""

from .sge_fpn import (
    SGE_NECKS,
    SGEFPN,
    SGEHRFPN,
    SGEPAFPN,
    SGEChannelMapper,
    SGEOutputs,
)

__all__ = [
    'SGEFPN',
    'SGEHRFPN',
    'SGEPAFPN',
    'SGE_NECKS',
    'SGEChannelMapper',
    'SGEOutputs',
]
