#!/usr/bin/env python3
"""Time what Python takes for the end of a block, with kernels that do nothing.

A GPU waits for it where its kernels are shorter. Beside it: a batch norm of
PyTorch, addition and ReLU, whose kernels work on a map of 30 positions. No GPU
is needed, but Triton is.
"""

import argparse
import os
import sys
import time
from statistics import median
from typing import Any, Callable, Dict, List
from unittest import mock

# Before Triton is imported, which refuses tensors on the CPU otherwise.
os.environ['TRITON_INTERPRET'] = '1'

import bare  # noqa: F401
import torch
from report import Row, add_output_options, report
from timing import Spread
from torch import nn

from sge_mmdet.ops import (
    FixedNorm,
    spatial_group_enhance_residual,
    use_backend,
)

GROUPS, CALLS = 16, 100


class NoKernel:
    """Is launched like a kernel of Triton, and does nothing."""

    def __getitem__(self, grid: tuple) -> Callable[..., None]:
        """Return what launches it."""

        def launch(*_: Any, **__: Any) -> None:
            pass

        return launch


def host_time(rounds: int) -> List[Row]:
    """Return the processor's time of a call, forward and backward.

    Args:
        rounds (int): How often 100 calls of each are timed, in turns.
    """
    from sge_mmdet.ops.triton import launch

    torch.set_num_threads(1)
    x, identity, grad = torch.randn(3, 2, 64, 5, 6)
    weight, bias = torch.randn(2, 1, GROUPS, 1, 1)
    norm = nn.BatchNorm2d(64).eval()
    fixed = FixedNorm(
        norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.eps
    )
    maps = [x.requires_grad_(), identity.requires_grad_()]
    gates = [weight.requires_grad_(), bias.requires_grad_()]
    affine = [norm.weight, norm.bias]

    def plain() -> None:
        y = torch.relu(norm(x) + identity)
        torch.autograd.grad(y, [*maps, *affine], grad)

    def ours() -> None:
        y = spatial_group_enhance_residual(
            x, identity, weight, bias, GROUPS, norm=fixed
        )
        torch.autograd.grad(y, [*maps, *gates, *affine], grad)

    calls = {'batch norm, addition and ReLU': plain, 'with SGE, ours': ours}
    times: Dict[str, List[float]] = {name: [] for name in calls}
    with use_backend('triton'), mock.patch.multiple(
        launch, forward_kernel=NoKernel(), backward_kernel=NoKernel()
    ):
        for _ in range(rounds):
            for name, call in calls.items():
                # Of this process alone: the machine may be shared.
                start = time.process_time()
                for _ in range(CALLS):
                    call()
                times[name].append((time.process_time() - start) / CALLS)
    for name, seconds in times.items():
        print(
            f'{name}: {1e6 * median(seconds):.0f} us, at least '
            f'{1e6 * min(seconds):.0f}'
        )
    case = dict(part='block_end', direction='forward+backward')
    return [
        Row(case, name, 'host', Spread.of(seconds), 0)
        for name, seconds in times.items()
    ]


def main() -> None:
    """Print the times; write them as CSV and draw them if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=60)
    add_output_options(parser)
    args = parser.parse_args()
    try:
        report(iter([host_time(args.rounds)]), 'cpu', args.out, args.overwrite)
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
