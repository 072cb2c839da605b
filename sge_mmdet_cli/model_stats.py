"""Print parameters and GFLOPs of a model.

MODEL is a config (a file, or mmdet::retinanet/retinanet_r50_fpn_1x_coco.py) or
the type of a backbone, such as SGEResNet with --cfg-options depth=50. GFLOPs
are counted in two ways: as the paper's authors count them, and as MMEngine
does.
"""

import argparse
from typing import Optional, Sequence

from .options import (
    add_config_values,
    create_parser,
)
from .running import run_command


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the options; ``shape`` is always set."""
    parser = create_parser('model-stats', __doc__, args)
    parser.add_argument(
        'model',
        nargs='?',
        metavar='MODEL',
        help='config, or type of a backbone',
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='size of the image, in pixels; default: 800 1333, or 224 224 '
        'with --classifier',
    )
    parser.add_argument(
        '--classifier',
        action='store_true',
        help='add the classifier of ImageNet to the backbone',
    )
    add_config_values(
        parser, 'values to change in the config, or options of the backbone'
    )
    parser.add_argument(
        '--paper',
        action='store_true',
        help="print the paper's rows for ResNet, SGE and other attention, as "
        'counted here and in the paper; the exit status is 1 if a digit '
        'differs unexpectedly',
    )
    options = parser.parse_args(args)
    if not (options.model or options.paper):
        parser.error('expected MODEL, a config or a backbone, or --paper')
    _set_shape(parser, options)
    return options


def _set_shape(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> None:
    """Set the size of the image; refuse sizes below 1."""
    default = (224, 224) if options.classifier else (800, 1333)
    options.shape = tuple(options.shape or default)
    if min(options.shape) < 1:
        parser.error(
            '--shape: expected a height and a width of at least 1 pixel, got '
            f'{options.shape[0]} {options.shape[1]}'
        )


def main(args: Optional[Sequence[str]] = None) -> None:
    """Parse the arguments and run the command."""
    run_command('model-stats', parse_args(args))
