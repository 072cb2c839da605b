"""Operators of Spatial Group-wise Enhance; they need torch alone."""
from .backends import backend_for, use_backend
from .checks import check_groups, largest_groups
from .reference import gate_reference, spatial_group_enhance_reference
from .spatial_group_enhance import (
    spatial_group_enhance,
    spatial_group_enhance_residual,
)

__all__ = [
    'backend_for', 'check_groups', 'gate_reference', 'largest_groups',
    'spatial_group_enhance', 'spatial_group_enhance_reference',
    'spatial_group_enhance_residual', 'use_backend'
]
