#!/usr/bin/env python3
"""Time the Triton kernels with other tiles, programs and tiles under way.

It tries values of the constants in sge_mmdet/ops/triton/plan.py at the end of
a block, all of them together, and names the best of each case. All kernels
are compiled beforehand, in several processes. It needs PyTorch and Triton; on
a CPU, Triton's interpreter needs NumPy as well.
"""

import argparse
import math
import os
from contextlib import ExitStack, contextmanager
from itertools import product
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple
from unittest import mock

import bare  # noqa: F401
import devices
import torch

if devices.is_cpu(devices.asked()):
    # Before Triton is imported.
    devices.use_cpu_alone()

from ops import COLD_BYTES, SHAPES
from options import add_numbers
from process import new_pool
from report import Row, add_output_options, report_or_exit
from timing import Spread, time_in_turns, time_replays

from sge_mmdet.ops import FixedNorm
from sge_mmdet.ops import triton as backend
from sge_mmdet.ops.passes import Gradients, Inputs, Outputs
from sge_mmdet.ops.triton import plan

DTYPES = ('float32', 'float16')
SMALL_SHAPE = 1, 2, 2, 3
Shape = Tuple[int, int, int, int]


class Case(NamedTuple):
    """A pass of the operator on maps of one kind.

    Attributes:
        direction: "forward" or "backward".
        shape: Shape of the maps, (N, C, H, W).
        groups: Number of groups.
        dtype: Type of the maps.
        last: Whether they are in channels-last.
    """

    direction: str
    shape: Shape
    groups: int
    dtype: str
    last: bool


class Cut(NamedTuple):
    """How it is cut, the same in all cases; see the constants in ``plan``.

    Attributes:
        tile: Values that a warp holds at a time.
        programs: Programs of one warp that a multiprocessor holds at a time.
        stages: Tiles that are under way to a program of a backward pass.
    """

    tile: int
    programs: int
    stages: int

    def __str__(self) -> str:
        """Return it in words."""
        return (
            f'{self.tile} values, {self.programs} programs, {self.stages} '
            f'stage{"s" if self.stages > 1 else ""}'
        )

    def constants(self) -> Dict[str, int]:
        """Return the values of the constants by name."""
        return dict(
            TILE=self.tile,
            WARPS_WITH_NORM=1,
            PROGRAMS=self.programs,
            MORE_PROGRAMS=self.programs,
            STAGES=self.stages,
        )


# As ``plan`` cuts it, for each case as is best there.
NOW = None
NAME_OF_NOW = 'now'
Results = Dict[Case, Dict[Optional[Cut], Spread]]
TILES, PROGRAMS, STAGES = (256, 512), (16, 20, 24), (1, 2)


def cuts(direction: str) -> List[Optional[Cut]]:
    """Return the cuts to try, that of today first.

    Args:
        direction (str): "forward", which has one stage, or "backward".
    """
    stages = STAGES if direction == 'backward' else STAGES[:1]
    return [NOW, *(Cut(*one) for one in product(TILES, PROGRAMS, stages))]


@contextmanager
def cut_so(cut: Optional[Cut]) -> Iterator[None]:
    """Cut passes so, for a while.

    Args:
        cut (Cut, optional): The cut, or None for that of today.
    """
    caches = plan.forward_plan, plan.backward_plan
    constants = {} if cut is NOW else cut.constants()
    with ExitStack() as patches:
        for name, value in constants.items():
            patches.enter_context(mock.patch.object(plan, name, value))
        for cache in caches:
            cache.cache_clear()
        yield
    for cache in caches:
        cache.cache_clear()


def new_pass(case: Case, device: torch.device) -> Callable[[], None]:
    """Return a pass on tensors of its own.

    Args:
        case (Case): The case.
        device (torch.device): Where.
    """
    layout = torch.channels_last if case.last else torch.contiguous_format
    x, identity, grad_y, y, grad_x, grad_identity = (
        torch.randn(case.shape, device=device).to(
            getattr(torch, case.dtype), memory_format=layout
        )
        for _ in range(6)
    )
    images, channels = case.shape[:2]
    weight, bias, *of_gates = torch.rand(
        (4, 1, case.groups, 1, 1), device=device
    )
    scale, shift, mean, variance, *of_norm = torch.rand(
        (6, channels), device=device
    )
    inputs = Inputs(
        x,
        weight,
        bias,
        FixedNorm(scale, shift, mean, variance),
        identity,
        case.groups,
        1e-5,
        True,
    )
    outputs = Outputs(
        y,
        torch.rand((images, channels), device=device),
        torch.rand((images, case.groups, 2), device=device),
    )
    if case.direction == 'forward':
        return lambda: backend.forward(inputs, outputs)
    gradients = Gradients(grad_x, *of_gates, *of_norm, grad_identity)
    return lambda: backend.backward(inputs, outputs, grad_y, gradients)


def compile_case(case: Case, device: str) -> None:
    """Run every cut of a case once, on a single image.

    Args:
        case (Case): The case.
        device (str): Where.
    """
    run = new_pass(
        case._replace(shape=(1, *case.shape[1:])), torch.device(device)
    )
    for cut in cuts(case.direction):
        with cut_so(cut):
            run()


def compile_cases(cases: List[Case], device: str, jobs: int) -> None:
    """Compile the kernels of every cut of cases.

    Args:
        cases (list[Case]): The cases.
        device (str): Where.
        jobs (int): Processes that compile.
    """
    with new_pool(jobs) as pool:
        list(pool.map(compile_case, cases, [device] * len(cases)))


def time_case(
    case: Case, device: torch.device, rounds: int
) -> Dict[Optional[Cut], Spread]:
    """Return the time of each cut; maps change from call to call.

    Args:
        case (Case): The case.
        device (torch.device): Where.
        rounds (int): How often each is timed.
    """
    map_bytes = math.prod(case.shape) * getattr(torch, case.dtype).itemsize
    count = 1 + COLD_BYTES // (2 * map_bytes) if device.type == 'cuda' else 1
    passes = [new_pass(case, device) for _ in range(count)]

    def call(cut: Optional[Cut]) -> Callable[[int], None]:
        def run(i: int) -> None:
            with cut_so(cut):
                passes[i]()

        return run

    calls = {cut: call(cut) for cut in cuts(case.direction)}
    if device.type == 'cuda':
        for run in calls.values():
            run(0)
        return time_replays(calls, rounds, count)
    return {
        cut: spread
        for (cut, _), spread in time_in_turns(
            calls, device, rounds, warm_up=0
        ).items()
    }


def sweep(
    cases: List[Case], device: str, rounds: int, jobs: int, results: Results
) -> Iterator[List[Row]]:
    """Time all cases.

    Args:
        cases (list[Case]): The cases.
        device (str): Where.
        rounds (int): How often each cut is timed.
        jobs (int): Processes that compile.
        results (dict): Gets the times of each case.

    Yields:
        list[Row]: Those of a case; the first is of today's cut.
    """
    compile_cases(cases, device, jobs)
    clock = 'graph' if torch.device(device).type == 'cuda' else 'wall'
    for case in cases:
        results[case] = time_case(case, torch.device(device), rounds)
        named = dict(
            direction=case.direction,
            shape='x'.join(map(str, case.shape)),
            dtype=case.dtype,
            layout='NHWC' if case.last else 'NCHW',
        )
        yield [
            Row(named, str(cut or NAME_OF_NOW), clock, spread, 0)
            for cut, spread in results[case].items()
        ]


def sweep_cases(small: bool) -> List[Case]:
    """Return the cases to time.

    Args:
        small (bool): Whether to take one small map, for a CPU.
    """
    kinds = (
        [(SMALL_SHAPE, 1, 'float32', False)]
        if small
        else product(SHAPES, (64,), DTYPES, (False, True))
    )
    return [
        Case(direction, *kind)
        for kind in kinds
        for direction in ('forward', 'backward')
    ]


def print_best(results: Results) -> None:
    """Print the best cut of each case.

    Args:
        results (dict): Times of the cuts of each case.
    """
    for case, times in results.items():
        best = min(times, key=lambda cut: times[cut].median)
        gain = times[NOW].median / times[best].median
        print(
            f'{case.direction} {case.shape} {case.dtype} '
            f'{"NHWC" if case.last else "NCHW"}: best with '
            f'{best or NAME_OF_NOW}, {gain:.2f} times as fast as now'
        )


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    devices.add_device_option(parser)
    add_numbers(parser, dict(rounds=(10, 'how often each cut is timed')))
    parser.add_argument(
        '--jobs',
        type=int,
        default=min(os.cpu_count(), 12),
        help='processes that compile. Default: one a core, at most 12',
    )
    parser.add_argument(
        '--small', action='store_true', help='one small map, for a CPU'
    )
    parser.add_argument(
        '--compile-only',
        action='store_true',
        help='compile the kernels, which Triton keeps, and time nothing',
    )
    add_output_options(parser)
    return parser.parse_args()


def main() -> None:
    """Print the times and the best cut of each case."""
    args = parse_options()
    cases = sweep_cases(args.small)
    if args.compile_only:
        compile_cases(cases, args.device, args.jobs)
        return
    results: Results = {}
    rows = sweep(cases, args.device, args.rounds, args.jobs, results)
    report_or_exit(rows, args.device, args)
    print_best(results)


if __name__ == '__main__':
    main()
