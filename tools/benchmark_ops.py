#!/usr/bin/env python3
"""Time SGE's operator beside its reference, and beside what memory allows."""
import argparse
from pathlib import Path

import torch

from sge_mmdet.benchmark import SHAPES, benchmark_operator, report
from sge_mmdet.ops.dispatch import BACKENDS


def main() -> None:
    """Print the ratios; write them as CSV and draw them if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--device', default='cuda' if
                        torch.cuda.is_available() else 'cpu')
    parser.add_argument('--dtype', nargs='+', default=['float32'],
                        choices=['float32', 'float16', 'bfloat16'])
    parser.add_argument('--shape', nargs='+', default=SHAPES, type=map_shape,
                        help='such as 2x256x200x336')
    parser.add_argument('--layout', nargs='+', default=['contiguous_format'],
                        choices=['contiguous_format', 'channels_last'])
    parser.add_argument('--backend', nargs='+', default=[],
                        choices=BACKENDS,
                        help='implementations to time besides the usual one')
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--no-compile', action='store_true',
                        help='leave the compiled reference out')
    parser.add_argument('--out', type=Path,
                        help='CSV to write; a picture goes beside it')
    args = parser.parse_args()
    report(benchmark_operator(
        args.shape, [getattr(torch, dtype) for dtype in args.dtype],
        [getattr(torch, layout) for layout in args.layout], args.device,
        args.rounds, not args.no_compile, args.backend), args.device, args.out)


def map_shape(text: str) -> tuple:
    """Return a shape such as "2x256x200x336" as numbers."""
    shape = tuple(map(int, text.split('x')))
    if len(shape) != 4 or min(shape) < 1:
        raise ValueError(f'A shape is NxCxHxW, got {text}')
    return shape


if __name__ == '__main__':
    main()
