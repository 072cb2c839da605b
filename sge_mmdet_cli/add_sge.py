"""Write a short config that inherits another and adds SGE."""

import argparse
from pathlib import Path
from typing import Optional, Sequence

from .options import (
    PLACES,
    POSITIONS,
    add_overwrite_option,
    create_parser,
)
from .running import run_command


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the options."""
    parser = create_parser('add-sge', __doc__, args)
    parser.add_argument(
        'config',
        help='config to inherit: a file, or a config of MMDetection such as '
        'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    )
    parser.add_argument(
        '-o', '--out', required=True, type=Path, help='config to write'
    )
    _add_layer_options(parser)
    add_overwrite_option(parser)
    return parser.parse_args(args)


def _add_layer_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the layers and of their places."""
    parser.add_argument(
        '--groups',
        type=int,
        default=64,
        help='number of groups of channels; default: 64',
    )
    parser.add_argument(
        '--stages',
        type=int,
        nargs='+',
        default=(1, 1, 1, 1),
        choices=(0, 1),
        metavar='0|1',
        help='one value for each stage of a ResNet: 1 adds SGE to it, 0 does '
        'not; default: 1 1 1 1',
    )
    parser.add_argument(
        '--position',
        default='after_conv3',
        choices=POSITIONS,
        help='position of SGE in a block of a ResNet: after_conv1, '
        'after_conv2 or after_conv3 (the end of the residual branch); '
        'default: after_conv3',
    )
    parser.add_argument(
        '--where',
        default='backbone',
        choices=PLACES,
        help='part of the detector that gets SGE: backbone, outputs (of the '
        'backbone), neck, both (backbone and neck) or heads; default: '
        'backbone',
    )
    parser.add_argument(
        '--preserve',
        action='store_true',
        help='start with the function of the old weights; otherwise SGE first '
        'scales by 0.73',
    )


def main(args: Optional[Sequence[str]] = None) -> None:
    """Parse the arguments and run the command."""
    run_command('add-sge', parse_args(args))
