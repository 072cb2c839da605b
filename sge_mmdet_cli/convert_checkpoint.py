"""Convert a checkpoint for models with SGE.

CHECKPOINT can be one of these, which are recognised by their keys:
  - an ImageNet classifier with SGE, from the paper's authors or MMPretrain;
  - a detector from the paper's authors (MMDetection 0.6);
  - any backbone or detector without SGE. --config then names the config with
    SGE that it is converted for, and the converted model computes exactly
    what the model without SGE computes;
  - a model whose SGE has preserve=True. With --fold and --config, its
    constant factors move into the norms before SGE, and disappear.
"""

import argparse
from typing import Optional, Sequence

from .options import (
    add_overwrite_option,
    create_parser,
)
from .running import run_command


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the options."""
    parser = create_parser('convert-checkpoint', __doc__, args)
    parser.add_argument(
        'checkpoint', help='file or URL, such as torchvision://resnet50'
    )
    parser.add_argument(
        '-o', '--out', required=True, help='checkpoint to write'
    )
    parser.add_argument(
        '--config',
        help='config of the model with SGE that the result is for; needed if '
        'the checkpoint has no SGE',
    )
    parser.add_argument(
        '--fold',
        action='store_true',
        help='multiply the factors of SGE with preserve=True into the norms '
        'before it; needs --config',
    )
    add_overwrite_option(parser)
    return parser.parse_args(args)


def main(args: Optional[Sequence[str]] = None) -> None:
    """Parse the arguments and run the command."""
    run_command('convert-checkpoint', parse_args(args))
