#!/usr/bin/env python3
"""Compare two detectors' results: is one better, where, and beyond chance?

Give one result file of each (A B), or several seeds of each (--a A1 A2 --b B1
B2). A result is COCO's JSON (MMDetection's outfile_prefix) or the pickle of
tools/test.py --out.
"""
import argparse
import json
import sys
from pathlib import Path

from sge_mmdet.evaluation import (
    add_size_options,
    compare_detections,
    read_detections,
    read_sized_truth,
)
from sge_mmdet.visualization import draw_comparison


def main() -> None:
    """Print the differences and the verdict; write them if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('results', nargs='*', metavar='A B')
    parser.add_argument('--a', nargs='+', default=[], help='results of A')
    parser.add_argument('--b', nargs='+', default=[], help='results of B')
    parser.add_argument('--truth', required=True,
                        help='ground truth in COCO format')
    parser.add_argument('--names', nargs=2, default=('A', 'B'))
    add_size_options(parser)
    parser.add_argument('--resamples', type=int, default=1000)
    parser.add_argument('--seed', type=int, default=0,
                        help='of the resampling')
    parser.add_argument('--out-dir', type=Path,
                        help='write comparison.json, .md, .csv and .png there')
    args = parser.parse_args()
    if args.results and (args.a or args.b or len(args.results) != 2):
        parser.error('give two results, A B, or --a ... --b ...')
    try:
        truth, bins = read_sized_truth(args.truth, args)
        a, b = ([read_detections(path, truth, args.metric) for path in paths]
                for paths in ([args.results[:1], args.results[1:]]
                              if args.results else [args.a, args.b]))
        comparison = compare_detections(
            truth, a, b, bins, tuple(args.names), args.metric,
            args.resamples, args.seed, progress=True)
        print(f'{comparison.table().text()}\n\n{comparison.verdict()}')
        if args.out_dir:
            args.out_dir.mkdir(parents=True, exist_ok=True)
            out = args.out_dir / 'comparison'
            by_size = comparison.table()
            by_class = comparison.table(classes=True)
            out.with_suffix('.json').write_text(
                json.dumps(comparison.to_dict(), indent=1))
            out.with_suffix('.md').write_text(
                f'{comparison.verdict()}\n\n{by_size.markdown()}\n\n'
                f'{by_class.markdown()}\n')
            out.with_suffix('.csv').write_text(comparison.csv())
            draw_comparison(comparison, out.with_suffix('.png'))
            print(f'written to {args.out_dir}')
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
