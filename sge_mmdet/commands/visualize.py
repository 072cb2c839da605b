"""Draw what the SGE layers of a detector do to an image.

For every SGE layer that is asked for it writes a sheet of its most telling
groups, those whose gates vary most over the image, and a histogram of the
similarity before and after normalisation.
"""

import argparse
from pathlib import Path
from typing import Optional, Sequence

from ..utils import Writer
from ..visualization.detector import GateDrawing
from .common import add_overwrite_option, create_parser, reported_errors


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the options."""
    parser = create_parser('visualize', __doc__, args)
    parser.add_argument('config', help='config of a detector with SGE')
    parser.add_argument('checkpoint', help='its weights after training')
    parser.add_argument('image', help='image file')
    parser.add_argument(
        '--before',
        metavar='CHECKPOINT',
        help='weights before training, to draw beside; default: those that '
        'the config starts from',
    )
    parser.add_argument(
        '--layers',
        nargs='+',
        metavar='NAME',
        help='layers whose names hold one of these, such as layer4 or '
        'layer2.0.sge; default: the last one of each stage',
    )
    parser.add_argument(
        '--groups', nargs='+', type=int, help='default: the most telling ones'
    )
    parser.add_argument(
        '--number',
        type=int,
        default=4,
        help='how many groups where none is named; default: 4',
    )
    parser.add_argument('--device', default='cpu', help='default: cpu')
    parser.add_argument(
        '--out-dir',
        type=Path,
        default='sge_maps',
        help='folder of the pictures; default: %(default)s',
    )
    add_overwrite_option(parser, renews=True)
    return parser.parse_args(args)


@reported_errors()
def main(args: Optional[Sequence[str]] = None) -> None:
    """Draw the pictures and print their names."""
    options = vars(parse_args(args))
    out_dir, overwrite = options.pop('out_dir'), options.pop('overwrite')
    drawing = GateDrawing(**options)
    inputs = [drawing.config, drawing.checkpoint, drawing.image]
    inputs += [drawing.before] if drawing.before else []
    for files in drawing.draw(out_dir, Writer(overwrite, inputs, renews=True)):
        print(*files)
