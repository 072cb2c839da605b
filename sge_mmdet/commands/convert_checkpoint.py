"""Convert a checkpoint for models with SGE.

CHECKPOINT is one of these, told apart by its keys:
  - an ImageNet classifier with SGE, of the paper's authors or of MMPretrain;
  - a detector of the paper's authors (MMDetection 0.6);
  - any plain backbone or detector: --config names the config with SGE that it
    is for, and the result computes exactly what the plain model does.
"""

import argparse
from typing import Optional, Sequence

from mmdet.utils import register_all_modules

from ..conversion import convert_checkpoint
from ..utils import load_config
from .common import add_overwrite_option, create_parser, reported_errors


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the options."""
    parser = create_parser('convert-checkpoint', __doc__, args)
    parser.add_argument(
        'checkpoint', help='file or address, such as torchvision://resnet50'
    )
    parser.add_argument(
        '-o', '--out', required=True, help='checkpoint to write'
    )
    parser.add_argument(
        '--config', help='config of the model with SGE that it is for'
    )
    add_overwrite_option(parser)
    return parser.parse_args(args)


@reported_errors()
def main(args: Optional[Sequence[str]] = None) -> None:
    """Convert the checkpoint and print what was done."""
    options = parse_args(args)
    register_all_modules()
    cfg = load_config(options.config) if options.config else None
    steps = convert_checkpoint(
        options.checkpoint, options.out, cfg, options.overwrite
    )
    print(f'{options.out}: ' + '; '.join(steps))
