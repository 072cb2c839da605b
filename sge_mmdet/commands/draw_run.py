"""The command ``sge-mmdet draw-run``, once its arguments are parsed."""

import argparse

from ..engine import find_test_data
from ..evaluation.plots import draw_detections
from ..utils import Writer, load_config
from ..visualization import draw_training_curves
from .common import reported_errors


@reported_errors()
def run(options: argparse.Namespace) -> None:
    """Draw the pictures."""
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
