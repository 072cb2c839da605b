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

from sge_mmdet.commands.size_options import (
    add_size_options,
    read_sized_ground_truth,
)
from sge_mmdet.evaluation import (
    Comparison,
    compare_detections,
    read_detections,
)
from sge_mmdet.evaluation.plots import draw_comparison
from sge_mmdet.utils import Writer


def main() -> None:
    """Print the differences and the verdict; write them if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('results', nargs='*', metavar='A B')
    parser.add_argument('--a', nargs='+', default=[], help='results of A')
    parser.add_argument('--b', nargs='+', default=[], help='results of B')
    parser.add_argument(
        '--ground-truth', required=True, help='ground truth in COCO format'
    )
    parser.add_argument('--names', nargs=2, default=('A', 'B'))
    add_size_options(parser)
    parser.add_argument('--resamples', type=int, default=1000)
    parser.add_argument(
        '--seed', type=int, default=0, help='of the resampling'
    )
    parser.add_argument(
        '--out-dir',
        type=Path,
        help='write comparison.json, .md, .csv and .png there',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace files that are '
        'there, also those that this tool did not write',
    )
    args = parser.parse_args()
    if args.results and (args.a or args.b or len(args.results) != 2):
        parser.error('give two results, A B, or --a ... --b ...')
    writer = Writer(
        args.overwrite,
        [args.ground_truth, *args.results, *args.a, *args.b],
        renews=True,
    )
    try:
        if args.out_dir:
            writer.check(
                *(
                    args.out_dir / f'comparison.{suffix}'
                    for suffix in ('json', 'md', 'csv', 'png')
                )
            )
        ground_truth, bins = read_sized_ground_truth(args.ground_truth, args)
        a, b = (
            [
                read_detections(path, ground_truth, args.metric)
                for path in paths
            ]
            for paths in (
                [args.results[:1], args.results[1:]]
                if args.results
                else [args.a, args.b]
            )
        )
        comparison = compare_detections(
            ground_truth,
            a,
            b,
            bins,
            tuple(args.names),
            args.metric,
            args.resamples,
            args.seed,
            progress=True,
        )
        print(f'{comparison.table().text()}\n\n{comparison.verdict()}')
        if args.out_dir:
            write(comparison, args.out_dir / 'comparison', writer)
            print(f'written to {args.out_dir}')
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f'error: {error}')


def write(comparison: Comparison, out: Path, writer: Writer) -> None:
    """Write the differences as JSON, Markdown, CSV and a picture."""
    by_size, by_class = comparison.table(), comparison.table(classes=True)
    writer.write(
        out.with_suffix('.json'), json.dumps(comparison.to_dict(), indent=1)
    )
    writer.write(
        out.with_suffix('.md'),
        f'{comparison.verdict()}\n\n{by_size.markdown()}\n\n'
        f'{by_class.markdown()}\n',
    )
    writer.write(out.with_suffix('.csv'), comparison.csv())
    draw_comparison(comparison, out.with_suffix('.png'), writer=writer)


if __name__ == '__main__':
    main()
