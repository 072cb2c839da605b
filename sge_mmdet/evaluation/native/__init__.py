"""Loops in C++, where setup.py could build them."""

from .boxes import Boxes, read_boxes
from .weighted_ap import Resamples

__all__ = ['Boxes', 'Resamples', 'read_boxes']
