#!/usr/bin/env python3
"""Draw a run: its losses and AP, and its detections beside the truth.

Run MMDetection's test with `test_evaluator.outfile_prefix=WORK_DIR/test`
first.
"""

import argparse
import sys
from pathlib import Path

from sge_mmdet.engine import find_test_data
from sge_mmdet.evaluation.plots import draw_detections
from sge_mmdet.utils import Writer, load_config
from sge_mmdet.visualization import draw_training_curves


def main() -> None:
    """Draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config of the run')
    parser.add_argument(
        'work_dir', type=Path, help='its work directory, with test.bbox.json'
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace files that are '
        'there, also those that this tool did not write',
    )
    args = parser.parse_args()
    try:
        annotations, images = find_test_data(load_config(args.config))
        results = args.work_dir / 'test.bbox.json'
        picture = args.work_dir / 'detections.png'
        curves = args.work_dir / 'curves.png'
        writer = Writer(
            args.overwrite, [args.config, annotations, results], renews=True
        )
        writer.check(picture, curves)
        draw_detections(annotations, images, results, picture, writer=writer)
        draw_training_curves(args.work_dir, curves, writer)
        print(f'drawn: {curves} {picture}')
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
