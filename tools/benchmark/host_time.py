#!/usr/bin/env python3
"""Time the host's part of a call at the end of a block.

A GPU waits for the processor where its kernels are shorter. Here the kernels
do nothing, so that no GPU is needed; Triton and a C++ compiler are. They are
launched as compiled kernels are, up to the function that calls CUDA: by the
operator in C++, and from Python, as where that cannot be built. Beside it runs
a batch norm of PyTorch, addition and ReLU, whose kernels work on a map of 30
positions.
"""

import argparse
import subprocess
import time
from contextlib import contextmanager, nullcontext
from inspect import signature
from statistics import median
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterator, List
from unittest import mock

import bare  # noqa: F401
import torch
from options import add_numbers
from report import Row, add_output_options, report_or_exit
from timing import Spread
from torch import nn

from sge_mmdet.ops import (
    FixedNorm,
    spatial_group_enhance_residual,
    use_backend,
)

GROUPS, CALLS = 16, 100
PLAIN, OURS = 'batch norm, addition and ReLU', 'with SGE, ours'
FROM_PYTHON = 'with SGE, launched from Python'


class NoKernel:
    """Is launched and compiled like a kernel of Triton, and does nothing.

    Args:
        kernel: The kernel that it stands for.
    """

    def __init__(self, kernel: Any) -> None:
        # A compiled kernel, as far as launches look at it.
        self.src = SimpleNamespace(signature=signature(kernel.fn).parameters)
        self.function, self.packed_metadata = 0, ()
        self.metadata = SimpleNamespace(num_warps=4, num_ctas=1, shared=0)

    def run(self, *_: Any) -> None:
        """Do not launch it."""

    def __getitem__(self, grid: tuple) -> Callable[..., 'NoKernel']:
        """Return what compiles and launches it for the first time."""
        return lambda *_, **__: self


@contextmanager
def kernels_that_do_nothing(by_node: bool) -> Iterator[None]:
    """Let the Triton backend take tensors on the CPU and compute nothing.

    Args:
        by_node (bool): Whether calls go through the operator in C++.
    """
    from sge_mmdet.ops import triton
    from sge_mmdet.ops.triton import launch, launcher, node

    with mock.patch.multiple(
        launch,
        launch_forward=launcher.Launcher(NoKernel(launch.forward_kernel)),
        launch_backward=launcher.Launcher(NoKernel(launch.backward_kernel)),
    ), mock.patch.object(
        launcher, 'current_stream', lambda device: 0
    ), mock.patch.object(triton, 'IS_INTERPRETED', True), use_backend(
        'triton'
    ), node.launching_by(None) if by_node else nullcontext():
        yield


def new_calls() -> Dict[str, Callable[[], None]]:
    """Return the calls to time, forward and backward, by name."""
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

    return {PLAIN: plain, OURS: ours, FROM_PYTHON: ours}


def host_time(rounds: int) -> List[Row]:
    """Return the processor's time of a call, forward and backward.

    Args:
        rounds (int): How often 100 calls of each are timed, in turns.
    """
    torch.set_num_threads(1)
    calls = new_calls()
    if not _has_node():
        del calls[OURS]
    times: Dict[str, List[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            with kernels_that_do_nothing(name == OURS):
                call()
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


def _has_node() -> bool:
    """Return whether the operator in C++ can be had; say why not."""
    from sge_mmdet.ops.triton import node

    try:
        node.made()
    except (OSError, ImportError, subprocess.SubprocessError) as error:
        print(f'without the operator in C++, which cannot be built: {error}')
        return False
    return True


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    rounds = 60, 'how often 100 calls of each are timed'
    add_numbers(parser, dict(rounds=rounds))
    add_output_options(parser)
    return parser.parse_args()


def main() -> None:
    """Print the times; write them as CSV and draw them if asked."""
    args = parse_options()
    report_or_exit(iter([host_time(args.rounds)]), 'cpu', args)


if __name__ == '__main__':
    main()
