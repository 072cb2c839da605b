"""The command ``sge-mmdet visualize``, once its arguments are parsed."""

import argparse

from ..utils import Writer
from ..visualization.detector import GateDrawing
from .common import reported_errors


@reported_errors()
def run(options: argparse.Namespace) -> None:
    """Draw the pictures and print their names."""
    arguments = vars(options)
    out_dir, overwrite = arguments.pop('out_dir'), arguments.pop('overwrite')
    drawing = GateDrawing(**arguments)
    inputs = [drawing.config, drawing.checkpoint, drawing.image]
    inputs += [drawing.before] if drawing.before else []
    for files in drawing.draw(out_dir, Writer(overwrite, inputs, renews=True)):
        print(*files)
