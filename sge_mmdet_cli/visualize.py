"""Draw what the SGE layers of a detector do to an image.

For each chosen SGE layer two pictures are written: the gates and activations
of the groups whose gates vary most over the image, and a histogram of the
similarity before and after normalisation.
"""

import argparse
from pathlib import Path
from typing import Optional, Sequence

from .options import (
    add_overwrite_option,
    create_parser,
)
from .running import run_command


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the options."""
    parser = create_parser('visualize', __doc__, args)
    parser.add_argument('config', help='config of a detector with SGE')
    parser.add_argument('checkpoint', help='checkpoint after training')
    parser.add_argument('image', help='image file')
    parser.add_argument(
        '--before',
        metavar='CHECKPOINT',
        help='checkpoint before training, whose gates are drawn as well; '
        'default: the initial weights of the config',
    )
    _add_selection_options(parser)
    parser.add_argument(
        '--device',
        default='cpu',
        help='device that runs the detector; default: cpu',
    )
    parser.add_argument(
        '--out-dir',
        type=Path,
        default='sge_maps',
        help='folder of the pictures; default: %(default)s',
    )
    add_overwrite_option(parser, renews=True)
    return parser.parse_args(args)


def _add_selection_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that select layers and groups."""
    parser.add_argument(
        '--layers',
        nargs='+',
        metavar='NAME',
        help='parts of the names of the layers to draw, such as layer4 or '
        'layer2.0.sge; default: the last SGE layer of each stage',
    )
    parser.add_argument(
        '--groups',
        nargs='+',
        type=int,
        help='indices of the groups to draw; default: those whose gates vary '
        'most over the image',
    )
    parser.add_argument(
        '--number',
        type=int,
        default=4,
        help='number of groups to draw without --groups; default: 4',
    )


def main(args: Optional[Sequence[str]] = None) -> None:
    """Parse the arguments and run the command."""
    run_command('visualize', parse_args(args))
