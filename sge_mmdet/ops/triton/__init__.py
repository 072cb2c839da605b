"""SGE on CUDA, in Triton.

A group of channels of an image is cut into parts of its positions, one a
program. A pass runs in phases, each of which leaves its sums over the parts in
memory, where the next one adds them up in a fixed order, so that results do
not change from run to run. Maps that are read again come from the GPU's cache
where they fit.

- ``tiles``: what the kernels do with a tile; ``forward_kernel`` and
  ``backward_kernel``: the passes.
- ``plan``: how a pass is cut into programs and launches.
- ``launch``: the two passes; ``launcher``: launches that cost Python little;
  ``node``: calls of a known kind, in C++, which cost less than those.

The formulas and their names stand in :mod:`sge_mmdet.ops.reference` and
:func:`sge_mmdet.ops.eager.backward`.
"""

import os

from .launch import backward, forward
from .plan import takes

# Triton has read it by now.
IS_INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'

__all__ = ['IS_INTERPRETED', 'backward', 'forward', 'takes']
