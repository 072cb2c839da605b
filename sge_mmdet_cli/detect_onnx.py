"""Run an ONNX detector on a config's test data.

The detector must have been exported by export-onnx with --pixels. The images
are loaded by the config's own test pipeline. The command "evaluate" reads the
detections.
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
    parser = create_parser('detect-onnx', __doc__, args)
    parser.add_argument('config', help='config with the test data')
    parser.add_argument('file', help='ONNX file of a detector')
    parser.add_argument(
        '--out',
        required=True,
        metavar='FILE.json',
        help="file for the detections, in COCO's result format",
    )
    add_overwrite_option(parser)
    return parser.parse_args(args)


def main(args: Optional[Sequence[str]] = None) -> None:
    """Parse the arguments and run the command."""
    run_command('detect-onnx', parse_args(args))
