"""Compare two detectors' results, with confidence intervals.

Give one result file for each detector (A B), or one for each of its seeds
(--a A1 A2 --b B1 B2). A result file is JSON in COCO's result format, as
MMDetection's test_evaluator.outfile_prefix writes it, or the pickle of
tools/test.py --out. Positive differences mean that B is better.
"""

import argparse
from pathlib import Path
from typing import List, Optional, Sequence

from ..evaluation import (
    Comparison,
    ResampledFigures,
    compare_figures,
    resample_results,
)
from ..evaluation.report import COMPARISON_FILES, write_comparison
from ..utils import Writer
from .common import add_overwrite_option, create_parser, reported_errors
from .size_options import (
    add_class_option,
    add_group_option,
    add_size_options,
    add_tile_options,
    find_max_dets,
    group_files,
    read_results,
    read_sized_ground_truth,
    tile_files,
)


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the options; ``a`` and ``b`` are the lists of result files."""
    parser = create_parser('compare', __doc__, args)
    parser.add_argument(
        'results', nargs='*', metavar='A B', help='one result file of each'
    )
    parser.add_argument(
        '--a',
        nargs='+',
        default=[],
        help='result files of A, one for each seed',
    )
    parser.add_argument(
        '--b',
        nargs='+',
        default=[],
        help='result files of B, one for each seed',
    )
    parser.add_argument(
        '--paired-seeds',
        action='store_true',
        help='the results of --a and --b were trained with the same seeds, in '
        'the same order; they are paired, which makes the intervals narrower',
    )
    parser.add_argument(
        '--ground-truth',
        '--truth',
        required=True,
        help='ground truth in COCO format',
    )
    parser.add_argument(
        '--names',
        nargs=2,
        default=('A', 'B'),
        help='names of the two detectors in tables; default: A B',
    )
    add_size_options(parser)
    add_class_option(parser)
    add_group_option(parser)
    add_tile_options(parser)
    _add_report_options(parser)
    add_overwrite_option(parser, renews=True)
    options = parser.parse_args(args)
    if options.results:
        if options.a or options.b or len(options.results) != 2:
            parser.error(
                'expected two result files, A and B, or --a ... --b ..., got '
                f'{" ".join(options.results)}'
            )
        options.a, options.b = options.results[:1], options.results[1:]
    if options.paired_seeds and len(options.a) != len(options.b):
        parser.error(
            'expected as many results of --a as of --b with --paired-seeds, '
            f'got {len(options.a)} and {len(options.b)}'
        )
    return options


def _add_report_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of resampling and of the report."""
    parser.add_argument(
        '--resamples',
        type=int,
        default=1000,
        help='number of bootstrap resamples of the images; default: 1000',
    )
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        help='random seed of the resampling; default: 0',
    )
    parser.add_argument(
        '--out-dir',
        type=Path,
        help='folder to write comparison.json, .md, .csv and .png to',
    )


@reported_errors()
def main(args: Optional[Sequence[str]] = None) -> None:
    """Print the differences and the verdict; write them to ``--out-dir``."""
    options = parse_args(args)
    writer = Writer(
        options.overwrite,
        [
            options.ground_truth,
            *options.a,
            *options.b,
            *group_files(options),
            *tile_files(options),
        ],
        renews=True,
    )
    if options.out_dir:
        writer.check(*(options.out_dir / name for name in COMPARISON_FILES))
    max_dets = find_max_dets(options)
    ground_truth, bins = read_sized_ground_truth(options.ground_truth, options)
    figures = resample_results(
        ground_truth,
        [
            read_results(path, ground_truth, options)
            for path in (*options.a, *options.b)
        ],
        bins,
        options.metric,
        options.resamples,
        options.seed,
        progress=True,
        max_dets=max_dets,
    )
    comparison = _compare(figures, options)
    print(comparison)
    if options.out_dir:
        write_comparison(comparison, options.out_dir, writer)
        print(f'written to {options.out_dir}')


def _compare(
    figures: List[ResampledFigures], options: argparse.Namespace
) -> Comparison:
    """Return the comparison of the figures of A, then those of B."""
    seeds, names = len(options.a), tuple(options.names)
    a, b = figures[:seeds], figures[seeds:]
    if options.paired_seeds:
        return compare_figures(dict(enumerate(a)), dict(enumerate(b)), names)
    return compare_figures(a, b, names)
