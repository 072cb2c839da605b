#!/usr/bin/env python3
"""Time ResNet + FPN with SGE beside the plain one and other attention."""
import argparse
import sys
from itertools import chain
from pathlib import Path

import torch

from sge_mmdet.benchmark import benchmark_network, report


def main() -> None:
    """Print the ratios; write them as CSV and draw them if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--device', default='cuda' if
                        torch.cuda.is_available() else 'cpu')
    parser.add_argument('--depth', type=int, default=50)
    parser.add_argument('--size', type=int, nargs=2, default=(800, 1344),
                        metavar=('HEIGHT', 'WIDTH'))
    parser.add_argument('--images', type=int, default=2)
    parser.add_argument('--amp', nargs='+', default=['off'],
                        choices=['off', 'float16', 'bfloat16'])
    parser.add_argument('--channels-last', action='store_true')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--out', type=Path,
                        help='CSV to write; a picture goes beside it')
    parser.add_argument(
        '--overwrite', action='store_true', help='replace files that are '
        'there, also those that this tool did not write')
    args = parser.parse_args()
    cases = chain.from_iterable(
        benchmark_network(args.depth, *args.size, args.images, args.device,
                          None if amp == 'off' else getattr(torch, amp),
                          args.rounds, args.channels_last)
        for amp in args.amp)
    try:
        report(cases, args.device, args.out, args.overwrite)
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
