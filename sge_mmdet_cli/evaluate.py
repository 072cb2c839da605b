"""Evaluate detections by object size.

Give ground truth and a result file, or a config and a checkpoint. A result
file is JSON in COCO's result format or the pickle of tools/test.py --out. With
a config and a checkpoint, the detector is first run on the config's test data.
"""

import argparse
from pathlib import Path
from typing import Optional, Sequence

from .options import (
    add_class_option,
    add_overwrite_option,
    add_protocol_option,
    add_report_size_option,
    add_size_options,
    add_tile_options,
    create_parser,
)
from .running import ends_process, names_config, run_command


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the options."""
    parser = create_parser('evaluate', __doc__, args)
    parser.add_argument(
        'ground_truth',
        metavar='GROUND_TRUTH|CONFIG',
        help='ground truth in COCO format, or config of a detector',
    )
    parser.add_argument(
        'results',
        metavar='RESULTS|CHECKPOINT',
        help='result file, or checkpoint of the detector',
    )
    add_size_options(parser)
    add_protocol_option(parser)
    add_class_option(parser)
    add_tile_options(parser)
    parser.add_argument(
        '--engine',
        choices=('native', 'hotcoco', 'pycocotools'),
        help='what computes AP; default: the first of them that is there '
        '(native is this package, where a C++ compiler could build it)',
    )
    _add_report_options(parser)
    add_overwrite_option(parser, renews=True)
    return parser.parse_args(args)


def _add_report_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the tables and pictures."""
    parser.add_argument(
        '--classwise',
        action='store_true',
        help='also print a table of the classes',
    )
    parser.add_argument(
        '--diagnose',
        action='store_true',
        help='also print, and write to --out-dir, by object size: the score '
        'with the highest F1 and recalls at numbers of false positives per '
        'image, what each kind of error costs in AP50, how right the scores '
        'are, and which classes are confused',
    )
    parser.add_argument(
        '--images',
        type=Path,
        help='folder of the images; with --out-dir, objects and detections '
        'are drawn on them',
    )
    parser.add_argument(
        '--score',
        type=float,
        help='lowest score of the detections in the breakdown of errors; '
        'default: the score with the highest F1, over small objects for the '
        'pictures and over all sizes where report.html begins',
    )
    parser.add_argument(
        '--out-dir',
        type=Path,
        help='folder to write tables, pictures and report.html to; '
        'default: none',
    )
    add_report_size_option(parser)


def main(args: Optional[Sequence[str]] = None) -> None:
    """Parse the arguments and run the command."""
    options = parse_args(args)
    run_command(
        'evaluate',
        options,
        ends_process(args)
        and not names_config([options.ground_truth])
        and not names_config(options.classes),
    )
