#!/usr/bin/env python3
"""Hold SGE's kernels on a device against the formula in float64.

Memory that results are written to is filled with NaN before, and every case
is repeated: results have to be the same to the last bit. It needs PyTorch, and
Triton on a GPU, and nothing else.
"""

import argparse
import math
import sys
from itertools import product
from typing import Iterator, List, Tuple

import bare  # noqa: F401
import torch
from torch import Tensor
from tqdm import tqdm

from sge_mmdet.ops import (
    FixedNorm,
    backend_for,
    spatial_group_enhance,
    spatial_group_enhance_residual,
    use_backend,
)
from sge_mmdet.utils.tables import Table

DTYPES = ('float32', 'float16', 'bfloat16')
LAYOUTS = (torch.contiguous_format, torch.channels_last)
TOLERANCE = dict(float32=1e-4, float16=4e-3, bfloat16=3e-2)
# Shape and groups: the stages of a ResNet-50, few and many groups, sizes that
# fit no tile, one position.
CASES = (
    ((2, 256, 200, 336), 64),
    ((2, 512, 100, 168), 64),
    ((2, 1024, 50, 84), 64),
    ((2, 2048, 25, 42), 64),
    ((1, 2048, 100, 168), 1),
    ((3, 96, 57, 31), 96),
    ((1, 288, 13, 21), 48),
    ((2, 64, 1, 1), 8),
    ((1, 7, 800, 1344), 7),
)
SMALL_CASES = (((2, 64, 20, 33), 16), ((1, 96, 13, 21), 3), ((2, 64, 1, 1), 8))
Results = List[Tensor]


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


def new_tensors(
    shape: Tuple[int, ...],
    groups: int,
    is_block_end: bool,
    dtype: torch.dtype,
    layout: torch.memory_format,
    device: torch.device,
) -> List[Tensor]:
    """Return random tensors for :func:`run`.

    Args:
        shape (tuple[int, ...]): Of the maps.
        groups (int): Number of groups.
        is_block_end (bool): Whether there are an identity and a norm.
        dtype (torch.dtype): Of the maps.
        layout (torch.memory_format): Of the maps.
        device (torch.device): Of all.
    """
    torch.manual_seed(0)

    def new_map() -> Tensor:
        return torch.randn(shape, device=device).to(
            dtype, memory_format=layout
        )

    weight, bias = torch.randn((2, 1, groups, 1, 1), device=device)
    more = []
    if is_block_end:
        # Far from 0, so that rounding cannot decide what ReLU lets pass.
        identity = new_map()
        identity += 20 * identity.sign()
        more = [identity, *torch.rand((4, shape[1]), device=device).add(0.5)]
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


def check(
    device: str, dtypes: List[str], repeats: int, small: bool, parts: List[str]
) -> Iterator[tuple]:
    """Check case by case.

    Args:
        device (str): Where.
        dtypes (list[str]): Of the maps.
        repeats (int): How often each case runs.
        small (bool): Whether to take small shapes.
        parts (list[str]): "operator" and "block_end".

    Yields:
        tuple: Part, shape, groups, type, layout, backend, error, whether it
        is small enough, and whether repeats are equal.
    """
    where = torch.device(device)
    for (shape, groups), part, dtype, layout in tqdm(
        list(product(SMALL_CASES if small else CASES, parts, dtypes, LAYOUTS))
    ):
        tensors = new_tensors(
            shape,
            groups,
            part == 'block_end',
            getattr(torch, dtype),
            layout,
            where,
        )
        fill_free_memory(tensors[0])
        got = run(tensors, groups)
        with use_backend('reference'):
            want = run([tensor.double() for tensor in tensors], groups)
        error = errors(got, want)
        del want
        same = all(
            torch.equal(a, b)
            for _ in range(repeats - 1)
            for a, b in zip(run(tensors, groups), got)
        )
        yield (
            part,
            'x'.join(map(str, shape)),
            groups,
            dtype,
            'NCHW' if layout == LAYOUTS[0] else 'NHWC',
            backend_for(tensors[0], groups),
            f'{error:.1e}',
            error <= TOLERANCE[dtype],
            same,
        )


def main() -> None:
    """Print a row a case; fail if one is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu'
    )
    parser.add_argument(
        '--dtype', nargs='+', default=list(DTYPES), choices=DTYPES
    )
    parser.add_argument(
        '--part',
        nargs='+',
        default=['operator', 'block_end'],
        choices=['operator', 'block_end'],
    )
    parser.add_argument('--repeats', type=int, default=10)
    parser.add_argument(
        '--small', action='store_true', help='small maps, for a CPU'
    )
    args = parser.parse_args()
    rows = list(
        check(args.device, args.dtype, args.repeats, args.small, args.part)
    )
    print(
        Table(
            [
                'part',
                'shape',
                'groups',
                'dtype',
                'layout',
                'backend',
                'error',
                'right',
                'repeatable',
            ],
            [[*map(str, row)] for row in rows],
        ).text()
    )
    wrong = [row for row in rows if not (row[-2] and row[-1])]
    sys.exit(
        f'error: {len(wrong)} of {len(rows)} cases are wrong' if wrong else 0
    )


if __name__ == '__main__':
    main()
