"""The two passes of SGE on a GPU; see :mod:`sge_mmdet.ops.passes`."""

import os
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, ContextManager, Dict, Optional, Tuple

import torch
from torch import Tensor

from ..passes import FixedNorm, Gradients, Inputs, Outputs
from .backward_kernel import backward_kernel
from .forward_kernel import forward_kernel
from .launcher import Launcher
from .plan import Plan, backward_plan, forward_plan, most_waiting

# Whether programs of the forward pass may wait for each other, so that it is
# one launch. Off until it has been measured on a GPU.
VARIABLE = 'SGE_MMDET_TRITON_WAIT'
_waits = os.environ.get(VARIABLE) == '1'
_HERE = nullcontext()
launch_forward = Launcher(forward_kernel)
launch_backward = Launcher(backward_kernel)
# Counters of the programs that wait, by GPU and stream.
_turns: Dict[Tuple[int, int], Tensor] = {}


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
        _parts_that_wait(x),
    )
    grid, sizes, constants, size, launches = plan
    work = mean.new_empty(size)
    with _on(x):
        turns = _take_turns(x, plan) if constants['WAIT'] else None
        launch_forward(
            grid,
            (x, *parameters, identity, y, mean, spread, work, turns),
            launches,
            (*sizes, float(eps), float(norm_eps)),
            constants,
        )


def backward(
    inputs: Inputs, outputs: Outputs, grad_y: Tensor, gradients: Gradients
) -> None:
    """Fill the gradients; see :mod:`sge_mmdet.ops.passes`."""
    x, weight, bias, norm, _, groups, eps, normalize = inputs
    y, mean, spread = outputs
    *parameters, norm_eps = _dense(weight, bias, norm)
    grid, sizes, constants, size, launches = backward_plan(
        x.shape, groups, x.element_size(), not x.is_contiguous(), normalize
    )
    work = mean.new_empty(size)
    with _on(x):
        launch_backward(
            grid,
            (grad_y, x, y, *parameters, mean, spread, work, *gradients),
            [(phase,) for phase, _ in launches],
            (*sizes, x.shape[0], float(eps), float(norm_eps)),
            constants,
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


def _parts_that_wait(x: Tensor) -> int:
    """Return how many parts of a task may wait for each other."""
    return (
        most_waiting(_processors(x.device.index))
        if _waits and x.is_cuda
        else 1
    )


def _take_turns(x: Tensor, plan: Plan) -> Tensor:
    """Return counters for programs that wait.

    Each stream has its own, and each graph, which may be replayed beside
    others.
    """
    size = plan.grid[0] // plan.sizes[1] + 1
    if torch.cuda.is_current_stream_capturing():
        return x.new_zeros(size, dtype=torch.int32)
    key = x.device.index, torch.cuda.current_stream().cuda_stream
    turns = _turns.get(key)
    if turns is None or len(turns) < size:
        turns = _turns[key] = x.new_zeros(size, dtype=torch.int32)
    return turns


@lru_cache(maxsize=None)
def _processors(device: int) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count
