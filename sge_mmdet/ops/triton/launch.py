"""The two passes of SGE on a GPU; see :mod:`sge_mmdet.ops.passes`."""

from contextlib import nullcontext
from functools import lru_cache
from typing import Any, ContextManager, Optional, Tuple

import torch
from torch import Tensor

from ..passes import FixedNorm, Gradients, Inputs, Outputs
from .backward_kernel import backward_kernel
from .forward_kernel import forward_kernel
from .launcher import Launcher
from .node import teach
from .plan import HELD, PROCESSORS, backward_plan, forward_plan

# Programs that a multiprocessor holds at a time, by compute capability, where
# a plan might have more of them; from NVIDIA's CUDA programming guide.
HELD_BY = {(7, 5): 16, (8, 6): 16, (8, 7): 16}
_HERE = nullcontext()
launch_forward = Launcher(forward_kernel)
launch_backward = Launcher(backward_kernel)


def forward(inputs: Inputs, outputs: Outputs) -> None:
    """Fill the outputs; see :mod:`sge_mmdet.ops.passes`."""
    x, weight, bias, norm, identity, groups, eps, normalize = inputs
    y, mean, spread = outputs
    *parameters, norm_eps = _dense(weight, bias, norm)
    plan = forward_plan(
        x.shape,
        groups,
        x.element_size(),
        not x.is_contiguous(),
        normalize,
        *_capacity(x.device.index),
    )
    work = mean.new_empty(plan.work)
    with _on(x):
        compiled = launch_forward(
            plan.grid,
            (x, *parameters, identity, y, mean, spread, work),
            plan.launches,
            (*plan.sizes, float(eps), float(norm_eps)),
            plan.constants,
        )
    teach(
        compiled,
        inputs,
        plan,
        plan.launches,
        has_identity=identity is not None,
    )


def backward(
    inputs: Inputs, outputs: Outputs, grad_y: Tensor, gradients: Gradients
) -> None:
    """Fill the gradients; see :mod:`sge_mmdet.ops.passes`."""
    x, weight, bias, norm, _, groups, eps, normalize = inputs
    y, mean, spread = outputs
    *parameters, norm_eps = _dense(weight, bias, norm)
    plan = backward_plan(
        x.shape,
        groups,
        x.element_size(),
        not x.is_contiguous(),
        normalize,
        norm is not None,
        _capacity(x.device.index)[0],
    )
    work = mean.new_empty(plan.work)
    phases = [(phase,) for phase, _ in plan.launches]
    with _on(x):
        compiled = launch_backward(
            plan.grid,
            (grad_y, x, y, *parameters, mean, spread, work, *gradients),
            phases,
            (*plan.sizes, x.shape[0], float(eps), float(norm_eps)),
            plan.constants,
        )
    teach(
        compiled,
        inputs,
        plan,
        phases,
        is_backward=True,
        has_identity=y is not None,
    )


def _dense(weight: Tensor, bias: Tensor, norm: Optional[FixedNorm]) -> tuple:
    """Return the parameters without gaps, and the norm's eps."""
    weight, bias = weight.contiguous(), bias.contiguous()
    if norm is None:
        return weight, bias, None, None, None, None, 0.0
    scale, shift, mean, variance, eps = norm
    if mean is not None and variance is not None:
        mean, variance = mean.contiguous(), variance.contiguous()
    return (
        weight,
        bias,
        scale.contiguous(),
        None if shift is None else shift.contiguous(),
        mean,
        variance,
        eps,
    )


def _on(x: Tensor) -> ContextManager[Any]:
    """Launch on the GPU of a tensor; on the CPU the interpreter runs."""
    if not x.is_cuda or x.device.index == torch.cuda.current_device():
        return _HERE
    return torch.cuda.device(x.device)


@lru_cache(maxsize=None)
def _capacity(device: Optional[int]) -> Tuple[int, int]:
    """Return the multiprocessors of a GPU, and how many programs one holds.

    On the CPU no device has an index.
    """
    if device is None:
        return PROCESSORS, HELD
    gpu = torch.cuda.get_device_properties(device)
    held = HELD_BY.get((gpu.major, gpu.minor), HELD)
    return gpu.multi_processor_count, held
