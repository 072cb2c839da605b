#!/usr/bin/env python3
"""Compare SGE's kernels on a device with the formula in float64.

Memory that results are written to is filled with NaN before, and every case
is repeated: results have to be the same to the last bit. It needs PyTorch, and
Triton on a GPU, and nothing else. On a CPU, ``--backend triton`` runs the
Triton kernels in their interpreter, which needs NumPy as well.
"""

import argparse
import math
import sys
from itertools import product
from typing import List, NamedTuple, Optional, Sequence, Tuple

import bare  # noqa: F401
import devices
import torch
from options import add_choices, add_numbers
from torch import Tensor

from sge_mmdet.ops import (
    FixedNorm,
    backend_for,
    spatial_group_enhance,
    spatial_group_enhance_residual,
    use_backend,
)
from sge_mmdet.ops.dispatch import BACKENDS

PARTS = ('operator', 'block_end')
LAYOUTS = dict(NCHW=torch.contiguous_format, NHWC=torch.channels_last)
TOLERANCE = dict(float32=1e-4, float16=4e-3, bfloat16=3e-2)
# Shape and groups: one position, sizes that fit no tile, the stages of a
# ResNet-50, few and many groups; small maps first.
CASES = (
    ((2, 64, 1, 1), 8),
    ((1, 288, 13, 21), 48),
    ((3, 96, 57, 31), 96),
    ((2, 2048, 25, 42), 64),
    ((2, 1024, 50, 84), 64),
    ((2, 512, 100, 168), 64),
    ((2, 256, 200, 336), 64),
    ((1, 7, 800, 1344), 7),
    ((1, 2048, 100, 168), 1),
)
SMALL_CASES = (((2, 64, 20, 33), 16), ((1, 96, 13, 21), 3), ((2, 64, 1, 1), 8))
# One or two programs: the interpreter takes a tenth of a second for each.
TINY_CASES = (((1, 16, 3, 5), 2),)
SIZES = dict(full=CASES, small=SMALL_CASES, tiny=TINY_CASES)
# Widths of the columns that are printed.
WIDTHS = (11, 17, 8, 10, 8, 11, 9, 7, 12, 10)
Results = List[Tensor]


class Case(NamedTuple):
    """What is checked.

    Attributes:
        part: "operator", or "block_end" with an identity and a norm.
        shape: Shape of the maps, (N, C, H, W).
        groups: Number of groups.
        dtype: Type of the maps.
        layout: Layout of the maps, "NCHW" or "NHWC".
    """

    part: str
    shape: Tuple[int, int, int, int]
    groups: int
    dtype: str
    layout: str


class Checked(NamedTuple):
    """How a check ended.

    Attributes:
        backend: The backend that ran.
        error: Largest difference from the formula; see :func:`errors`.
        right: Whether it is within the tolerance of the type.
        repeatable: Whether all repeats gave the same bits.
    """

    backend: str
    error: float
    right: bool
    repeatable: bool


def run(tensors: List[Tensor], groups: int) -> Results:
    """Return the result and the gradients of everything that has one.

    Args:
        tensors (list[Tensor]): x, weight and bias, the gradient; for the end
            of a block also the identity and the norm's four vectors, before
            the gradient.
        groups (int): Number of groups.
    """
    *tensors, grad = tensors
    leaves = [tensor.detach().requires_grad_() for tensor in tensors[:6]]
    x, weight, bias, *rest = leaves
    if rest:
        identity, scale, shift = rest
        y = spatial_group_enhance_residual(
            x,
            identity,
            weight,
            bias,
            groups,
            norm=FixedNorm(scale, shift, *tensors[6:]),
        )
    else:
        y = spatial_group_enhance(x, weight, bias, groups)
    return [y.detach(), *torch.autograd.grad(y, leaves, grad)]


def new_tensors(case: Case, device: torch.device) -> List[Tensor]:
    """Return random tensors for :func:`run`.

    Args:
        case (Case): The case.
        device (torch.device): Device of all tensors.
    """
    torch.manual_seed(0)

    def new_map() -> Tensor:
        return torch.randn(case.shape, device=device).to(
            getattr(torch, case.dtype), memory_format=LAYOUTS[case.layout]
        )

    weight, bias = torch.randn((2, 1, case.groups, 1, 1), device=device)
    more = []
    if case.part == 'block_end':
        # Far from 0, so that rounding cannot decide what ReLU lets pass.
        identity = new_map()
        identity += 20 * identity.sign()
        more = [
            identity,
            *torch.rand((4, case.shape[1]), device=device).add(0.5),
        ]
    return [new_map(), weight, bias, *more, new_map()]


def fill_free_memory(like: Tensor) -> None:
    """Let new tensors begin as NaN, as far as the allocator reuses memory.

    Args:
        like (Tensor): Of the size of maps.
    """
    held = [torch.full_like(like, torch.nan) for _ in range(4)]
    held += [
        like.new_full((size,), torch.nan, dtype=torch.float32)
        for size in (16, 512, 4096, 65536, 2**20)
    ]
    del held


def errors(got: Results, want: Results) -> float:
    """Return the largest difference, relative to the largest value.

    It is NaN if any difference is.

    Args:
        got (list[Tensor]): Results.
        want (list[Tensor]): The same in float64.
    """
    worst = 0.0
    for a, b in zip(got, want):
        scale = max(1.0, float(b.abs().max())) if b.numel() else 1.0
        error = float((a.double() - b).abs().max()) / scale
        if math.isnan(error):
            return error
        worst = max(worst, error)
    return worst


def cases(
    parts: Sequence[str], dtypes: Sequence[str], sizes: str
) -> List[Case]:
    """Return the cases to check.

    Args:
        parts (Sequence[str]): "operator" and "block_end".
        dtypes (Sequence[str]): Types of the maps.
        sizes (str): Sizes of the maps, one of :data:`SIZES`.
    """
    return [
        Case(part, shape, groups, dtype, layout)
        for (shape, groups), part, dtype, layout in product(
            SIZES[sizes], parts, dtypes, LAYOUTS
        )
    ]


def check(
    case: Case, device: str, repeats: int, backend: Optional[str] = None
) -> Checked:
    """Check a case.

    Args:
        case (Case): The case.
        device (str): Where.
        repeats (int): How often it runs.
        backend (str, optional): The backend. Default: the usual one.
    """
    tensors = new_tensors(case, torch.device(device))
    fill_free_memory(tensors[0])
    with use_backend(backend):
        name = backend_for(tensors[0], case.groups)
        got = run(tensors, case.groups)
    with use_backend('reference'):
        want = run([tensor.double() for tensor in tensors], case.groups)
    error = errors(got, want)
    del want
    if name == 'torch':
        # Not a kernel of ours, and slow.
        repeats = min(repeats, 10)
    # Asked for at the end alone: the GPU then never waits for Python.
    differences = torch.zeros((), dtype=torch.int64, device=device)
    with use_backend(backend):
        for _ in range(repeats - 1):
            for a, b in zip(run(tensors, case.groups), got):
                differences += (a != b).any()
    right = error <= TOLERANCE[case.dtype]
    return Checked(name, error, right, not differences.item())


def row_text(cells: Sequence[object]) -> str:
    """Return a row of the table, in columns of fixed width.

    Args:
        cells (Sequence[object]): The cells of the row.
    """
    return ''.join(
        str(cell).ljust(width) for cell, width in zip(cells, WIDTHS)
    ).rstrip()


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    devices.add_device_option(parser)
    dtypes = list(TOLERANCE)
    add_choices(parser, 'dtype', 'types of the maps', dtypes, dtypes)
    add_choices(parser, 'part', 'parts to check', PARTS, PARTS)
    add_numbers(parser, dict(repeats=(10, 'how often each case runs')))
    parser.add_argument(
        '--backend',
        choices=BACKENDS,
        help='backend to check. Default: the usual one of the device',
    )
    parser.add_argument(
        '--sizes',
        choices=list(SIZES),
        default='full',
        help="sizes of the maps: small is for a CPU, tiny for Triton's "
        'interpreter. Default: full',
    )
    return parser.parse_args()


def main() -> None:
    """Print a row after each case; fail if one is wrong."""
    args = parse_options()
    if devices.is_cpu(args.device):
        devices.use_cpu_alone()
    print(row_text([*Case._fields, *Checked._fields]))
    todo = cases(args.part, args.dtype, args.sizes)
    wrong = 0
    for case in todo:
        checked = check(case, args.device, args.repeats, args.backend)
        wrong += not (checked.right and checked.repeatable)
        # Also for those who read the last line after a time limit.
        ending = [f'{wrong} wrong so far'] * (wrong > 0)
        shown = case._replace(shape='x'.join(map(str, case.shape)))
        print(
            row_text(
                [
                    *shown,
                    *checked._replace(error=f'{checked.error:.1e}'),
                    *ending,
                ]
            ),
            flush=True,
        )
    if wrong:
        sys.exit(f'error: {wrong} of {len(todo)} cases are wrong')
    print(f'all {len(todo)} cases are right and repeatable')


if __name__ == '__main__':
    main()
