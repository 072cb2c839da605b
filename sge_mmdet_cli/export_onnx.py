"""Export a detector to ONNX and check the file.

The exported file accepts any batch size, height and width. Its outputs in
onnxruntime are compared with those of MMDetection at sizes other than the one
of the export. If a difference is above 1e-4, the exit status is 1 and the file
is kept as FILE.failed.onnx. docs/deployment.md describes inputs and outputs.
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
    parser = create_parser('export-onnx', __doc__, args)
    parser.add_argument('config', help='config of a detector')
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='checkpoint of the detector; default: random weights, for a '
        'trial',
    )
    parser.add_argument(
        '--out',
        type=Path,
        required=True,
        metavar='FILE.onnx',
        help='ONNX file to write',
    )
    parser.add_argument(
        '--part',
        choices=('backbone', 'heads', 'detector'),
        default='detector',
        help='part to export: "backbone" returns its features, "heads" the '
        'raw outputs of a single-stage detector, "detector" boxes, scores, '
        'labels and masks relative to their boxes; default: detector',
    )
    parser.add_argument(
        '--pixels',
        action='store_true',
        help='let the input be uint8 pixels in BGR, with normalisation and '
        'padding in the file; by default the input is a normalised float32 '
        'image',
    )
    _add_check_options(parser)
    add_overwrite_option(parser)
    return parser.parse_args(args)


def _add_check_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the check and of the quantised file."""
    parser.add_argument(
        '--size',
        nargs=2,
        type=int,
        default=(256, 320),
        metavar=('H', 'W'),
        help='height and width in pixels of the traced image, and of the '
        'images for --quantize static; default: 256 320',
    )
    parser.add_argument(
        '--images',
        type=Path,
        metavar='FOLDER',
        help='folder of images to check with; default: smooth noise',
    )
    parser.add_argument(
        '--quantize',
        choices=('dynamic', 'static'),
        help='also write FILE.int8.onnx with 8-bit weights and activations; '
        '"static" measures the ranges of activations on --images, '
        '"dynamic" in each run; default: none',
    )


def main(args: Optional[Sequence[str]] = None) -> None:
    """Parse the arguments and run the command."""
    run_command('export-onnx', parse_args(args))
