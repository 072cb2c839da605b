"""Draw the losses, AP and detections of a training run.

Test the detector first, with the option
`--cfg-options test_evaluator.outfile_prefix=WORK_DIR/test`, so that its
detections are in WORK_DIR.
"""

import argparse
from pathlib import Path
from typing import Optional, Sequence

from ..engine import find_test_data
from ..evaluation.plots import draw_detections
from ..utils import Writer, load_config
from ..visualization import draw_training_curves
from .common import add_overwrite_option, create_parser, reported_errors


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the options."""
    parser = create_parser('draw-run', __doc__, args)
    parser.add_argument('config', help='config of the training run')
    parser.add_argument(
        'work_dir',
        type=Path,
        help='work directory of the run, with test.bbox.json; the pictures '
        'are written there',
    )
    add_overwrite_option(parser, renews=True)
    return parser.parse_args(args)


@reported_errors()
def main(args: Optional[Sequence[str]] = None) -> None:
    """Draw the pictures."""
    options = parse_args(args)
    annotations, images = find_test_data(load_config(options.config))
    results = options.work_dir / 'test.bbox.json'
    picture = options.work_dir / 'detections.png'
    curves = options.work_dir / 'curves.png'
    writer = Writer(
        options.overwrite, [options.config, annotations, results], renews=True
    )
    writer.check(picture, curves)
    draw_detections(annotations, images, results, picture, writer=writer)
    draw_training_curves(options.work_dir, curves, writer)
    print(f'drawn: {curves} {picture}')
