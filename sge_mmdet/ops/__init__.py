"""Operators of Spatial Group-wise Enhance; they need torch alone."""
from .reference import spatial_group_enhance_reference
from .spatial_group_enhance import (
    check_groups,
    largest_groups,
    spatial_group_enhance,
)

__all__ = [
    'check_groups', 'largest_groups', 'spatial_group_enhance',
    'spatial_group_enhance_reference'
]
