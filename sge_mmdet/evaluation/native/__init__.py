"""Loops in C++, where setup.py could build them."""

from .boxes import Boxes, read_boxes
from .matching import Matcher
from .overlaps import overlapping_boxes
from .weighted_ap import Resamples

__all__ = ['Boxes', 'Matcher', 'Resamples', 'overlapping_boxes', 'read_boxes']
