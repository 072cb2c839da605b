"""Operators of Spatial Group-wise Enhance; they need torch alone.

- ``functional``: the two functions that users call; ``layer``: the module;
  ``warm_up``: what compiles all kernels of a model beforehand.
- ``insertion``: puts the module into other modules; ``places``: where;
  ``inserted``: what it leaves there.
- ``reference``: the formula, which everything else is tested against.
- ``autograd``: the operator that PyTorch knows, and its gradient; ``checks``:
  what it takes.
- ``execution``: a pass, from its arguments to the call of a backend;
  ``dispatch``: which backend that is; ``passes``: what a backend is given.
- Backends: ``native`` (C++, CPU), ``triton`` (CUDA), ``eager`` (plain PyTorch,
  any device).
"""

from .checks import check_groups, largest_groups
from .dispatch import backend_for, use_backend
from .functional import spatial_group_enhance, spatial_group_enhance_residual
from .insertion import insert_sge
from .layer import SpatialGroupEnhance
from .passes import FixedNorm
from .reference import gate_reference, spatial_group_enhance_reference
from .warm_up import warm_up

__all__ = [
    'FixedNorm',
    'SpatialGroupEnhance',
    'backend_for',
    'check_groups',
    'gate_reference',
    'insert_sge',
    'largest_groups',
    'spatial_group_enhance',
    'spatial_group_enhance_reference',
    'spatial_group_enhance_residual',
    'use_backend',
    'warm_up',
]
