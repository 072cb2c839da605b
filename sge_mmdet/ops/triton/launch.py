"""The two passes of SGE on a GPU; see :mod:`sge_mmdet.ops.passes`."""
from contextlib import nullcontext
from typing import Any, ContextManager

import torch
from torch import Tensor

from ..passes import Gradients, Inputs, Outputs
from .backward_kernel import backward_kernel
from .forward_kernel import forward_kernel
from .plan import backward_plan, forward_plan

_NO_NORM = (None, None, None, None, 0.)
_HERE = nullcontext()


def forward(inputs: Inputs, outputs: Outputs) -> None:
    """Fill the outputs; see :mod:`sge_mmdet.ops.passes`."""
    x, weight, bias, norm, identity, groups, eps, normalize = inputs
    y, mean, spread = outputs
    *vectors, norm_eps = norm or _NO_NORM
    grid, sizes, constants, size, launches = forward_plan(
        x.shape, groups, x.element_size(), not x.is_contiguous(), normalize)
    work = mean.new_empty(size)
    launch = forward_kernel[grid]
    with _on(x):
        for first, last in launches:
            launch(x, weight, bias, *vectors, identity, y, mean, spread, work,
                   None, first, last, *sizes, eps, norm_eps, **constants)


def backward(inputs: Inputs, outputs: Outputs, grad_y: Tensor,
             gradients: Gradients) -> None:
    """Fill the gradients; see :mod:`sge_mmdet.ops.passes`."""
    x, weight, bias, norm, _, groups, eps, normalize = inputs
    y, mean, spread = outputs
    *vectors, norm_eps = norm or _NO_NORM
    grid, sizes, constants, size, launches = backward_plan(
        x.shape, groups, x.element_size(), not x.is_contiguous(), normalize)
    work = mean.new_empty(size)
    launch = backward_kernel[grid]
    with _on(x):
        for phase, _ in launches:
            launch(grad_y, x, y, weight, bias, *vectors, mean, spread, work,
                   *gradients, phase, *sizes, x.shape[0], eps, norm_eps,
                   **constants)


def _on(x: Tensor) -> ContextManager[Any]:
    """Launch on the GPU of a tensor; on the CPU the interpreter runs."""
    return torch.cuda.device(x.device) if x.is_cuda else _HERE
