#!/usr/bin/env python3
"""Convert a checkpoint for SGE models of MMDetection 3.x.

CHECKPOINT is one of these; which one is seen from its keys:
  - an ImageNet classifier with SGE, of the paper's authors or of MMPretrain;
  - a detector of the paper's authors (MMDetection 0.6);
  - any plain backbone or detector: --config names the config with SGE that it
    is for, and the result computes exactly what the plain model does.
"""

import argparse
import sys

from mmdet.utils import register_all_modules

from sge_mmdet.conversion import convert_checkpoint, find_config
from sge_mmdet.utils import load_config


def main() -> None:
    """Convert the checkpoint and say what was done."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'checkpoint', help='file or address, such as torchvision://resnet50'
    )
    parser.add_argument('-o', '--out', required=True, help='the file to write')
    parser.add_argument(
        '--config', help='config of the model with SGE that it is for'
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace the file if it exists',
    )
    args = parser.parse_args()
    register_all_modules()
    try:
        cfg = args.config and load_config(find_config(args.config))
        steps = convert_checkpoint(
            args.checkpoint, args.out, cfg or None, args.overwrite
        )
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        sys.exit(f'error: {error}')
    print(f'{args.out}: ' + '; '.join(steps))


if __name__ == '__main__':
    main()
