"""Compare two detectors' results, with confidence intervals.

Give one result file for each detector (A B), or one for each of its seeds
(--a A1 A2 --b B1 B2). A result file is JSON in COCO's result format, as
MMDetection's test_evaluator.outfile_prefix writes it, or the pickle of
tools/test.py --out. Positive differences mean that B is better.
"""

import argparse
from pathlib import Path
from typing import Optional, Sequence

from .options import (
    add_class_option,
    add_group_option,
    add_overwrite_option,
    add_protocol_option,
    add_report_size_option,
    add_size_options,
    add_tile_options,
    create_parser,
)
from .running import ends_process, names_config, run_command


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the options; ``a`` and ``b`` are the lists of result files."""
    parser = create_parser('compare', __doc__, args)
    _add_results(parser)
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
    add_protocol_option(parser)
    add_class_option(parser)
    add_group_option(parser)
    add_tile_options(parser)
    _add_report_options(parser)
    add_overwrite_option(parser, renews=True)
    options = parser.parse_args(args)
    _assign_results(parser, options)
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
        help='folder to write comparison.json, .md, .csv, .png and .html to',
    )
    parser.add_argument(
        '--images',
        type=Path,
        help='folder of the images; with --out-dir, comparison.html shows '
        'gained and lost objects on them',
    )
    parser.add_argument(
        '--score',
        type=float,
        default=0.3,
        help='lowest score of the detections with which comparison.html '
        'begins; default: 0.3',
    )
    add_report_size_option(parser)


def _add_results(parser: argparse.ArgumentParser) -> None:
    """Add the result files of both detectors."""
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


def _assign_results(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> None:
    """Set the lists of result files; refuse lists that do not fit."""
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


def main(args: Optional[Sequence[str]] = None) -> None:
    """Parse the arguments and run the command."""
    options = parse_args(args)
    run_command(
        'compare',
        options,
        ends_process(args) and not names_config(options.classes),
    )
