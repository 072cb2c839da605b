"""Export a detector to ONNX and check the file.

The file takes any batch, height and width. With onnxruntime its outputs are
compared with MMDetection's at other sizes than the one it was exported at; if
a difference is above 1e-4 the exit status is 1, and the file is kept as
FILE.failed.onnx. docs/deployment.md says what is in the file.
"""

import argparse
from pathlib import Path
from typing import Optional, Sequence

from ..deployment import MODES, PARTS, TOLERANCE, check_table, disagreements
from ..deployment.checked_export import (
    ExportOptions,
    export_checked_onnx,
    quantize_export,
    quantized_file,
)
from ..utils.terminal import print_note
from .common import (
    add_overwrite_option,
    create_parser,
    exit_at_failures,
    reported_errors,
)


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the options."""
    parser = create_parser('export-onnx', __doc__, args)
    parser.add_argument('config', help='config of a detector')
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='its weights; default: random ones, to try',
    )
    parser.add_argument('--out', type=Path, required=True, metavar='FILE.onnx')
    parser.add_argument(
        '--part',
        choices=PARTS,
        default='detector',
        help='features of the backbone; raw outputs of the heads of a '
        'single-stage detector; or boxes, scores, labels (and masks in their '
        'boxes); default: detector',
    )
    parser.add_argument(
        '--pixels',
        action='store_true',
        help='the input is uint8 pixels, BGR, and normalisation and padding '
        'are in the file; without, it is normalised float32',
    )
    _add_check_options(parser)
    add_overwrite_option(parser)
    return parser.parse_args(args)


def _add_check_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the check and of the file in 8 bits."""
    parser.add_argument(
        '--size',
        nargs=2,
        type=int,
        default=(256, 320),
        metavar=('H', 'W'),
        help='of the image that is traced, and of those that '
        'static ranges are measured on; default: 256 320',
    )
    parser.add_argument(
        '--images',
        type=Path,
        metavar='FOLDER',
        help='images to check with; default: smooth noise',
    )
    parser.add_argument(
        '--quantize',
        choices=MODES,
        help='write FILE.int8.onnx as well; static measures ranges on '
        '--images',
    )


@reported_errors()
def main(args: Optional[Sequence[str]] = None) -> None:
    """Export, check and, if asked, quantise."""
    arguments = vars(parse_args(args))
    config, checkpoint, out = (
        arguments.pop(name) for name in ('config', 'checkpoint', 'out')
    )
    arguments['size'] = tuple(arguments['size'])
    options = ExportOptions(**arguments)
    export = export_checked_onnx(config, checkpoint, out, options)
    print(check_table(export.checks).text(), flush=True)
    if not export.agrees:
        exit_at_failures(
            [
                'the file differs from MMDetection by more than '
                f'{TOLERANCE}; it is kept as {export.file}'
            ]
        )
    print(export.file)
    if not export.is_compared:
        print_note(
            'where nothing was detected, nothing was compared; name '
            'images of its kind with --images'
        )
    if options.quantize:
        agreement = quantize_export(export, options)
        print(f'{agreement.text()}\n{quantized_file(out)}')
        exit_at_failures(disagreements(agreement))
