"""Necks with SGE."""

from .sge_fpn import SGE_NECKS, SGEFPN, SGEOutputs

__all__ = ['SGEFPN', 'SGE_NECKS', 'SGEOutputs']
