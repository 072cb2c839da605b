"""Write a short config that trains a detector on your data.

The data is a JSON file in COCO's format, or a folder in the layout of Pascal
VOC (Annotations/*.xml) or YOLO (images, labels, data.yaml). A folder may hold
both splits; --train alone is then enough. At the end the next commands are
printed: training, evaluation, and comparison with and without SGE.
"""

import argparse
from pathlib import Path
from typing import Optional, Sequence

from .options import (
    PLACES,
    add_overwrite_option,
    create_parser,
)
from .running import run_command


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the options."""
    parser = create_parser('new-config', __doc__, args)
    parser.add_argument(
        'base',
        help='config of a detector to inherit: a file, or a config of '
        'MMDetection such as mmdet::faster_rcnn/'
        'faster-rcnn_r50_fpn_1x_coco.py',
    )
    parser.add_argument(
        '-o', '--out', required=True, type=Path, help='config to write'
    )
    _add_data_options(parser)
    parser.add_argument(
        '--batch-size',
        type=int,
        help='images on each GPU in a step; default: that of the base config',
    )
    parser.add_argument(
        '--gpus',
        type=int,
        default=1,
        help='number of GPUs, for which the learning rate is scaled; '
        'default: 1',
    )
    parser.add_argument(
        '--sge', action='store_true', help='add SGE, as tools/add_sge.py does'
    )
    parser.add_argument(
        '--where',
        choices=PLACES,
        help='part of the detector that gets SGE; default: that of '
        'tools/add_sge.py',
    )
    add_overwrite_option(parser)
    options = parser.parse_args(args)
    if options.where and not options.sge:
        parser.error('--where: expected --sge too, which adds SGE; add it')
    if options.val_images and not options.val:
        parser.error(
            '--val-images: expected --val too, whose images these are; add '
            'it, or leave out --val-images'
        )
    if options.seed is not None and options.val_fraction is None:
        parser.error(
            '--seed: expected --val-fraction too, whose images it chooses; '
            'add it, or leave out --seed'
        )
    return options


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the data."""
    parser.add_argument(
        '--train',
        required=True,
        type=Path,
        help="annotations of the training: a JSON file in COCO's format, or "
        'a VOC or YOLO folder',
    )
    parser.add_argument(
        '--val', type=Path, help='annotations of the validation, likewise'
    )
    parser.add_argument(
        '--images',
        type=Path,
        help='folder of the images; needed for COCO files',
    )
    parser.add_argument(
        '--val-images',
        type=Path,
        help="folder of the validation's images; default: that of --images",
    )
    parser.add_argument(
        '--val-fraction',
        type=float,
        help='share of the images of --train to validate with, such as 0.1, '
        'where there is no --val',
    )
    parser.add_argument(
        '--seed',
        type=int,
        help='random seed of --val-fraction; default: 0',
    )


def main(args: Optional[Sequence[str]] = None) -> None:
    """Parse the arguments and run the command."""
    options = parse_args(args)
    # The next commands that are printed begin as this one did.
    options.program = None if args is None else 'sge-mmdet'
    run_command('new-config', options)
