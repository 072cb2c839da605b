#!/usr/bin/env python3
"""Export a detector with SGE to ONNX, and check the file with onnxruntime.

The file takes any batch, height and width. What it finds is compared with
MMDetection at other sizes than the one it was exported at; if a difference is
above 1e-4 the exit status is 1, and the file is kept as FILE.failed.onnx.
docs/deployment.md says what is in the file.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from sge_mmdet.deployment import (
    MODES,
    PARTS,
    TOLERANCE,
    agreement_table,
    check_onnx,
    check_table,
    disagreements,
    export_onnx,
    load_detector,
    make_batch,
    quantize_onnx,
    require_package,
    sizes_to_check,
)
from sge_mmdet.utils import Writer, folder_beside


def main() -> None:
    """Export, check and, if asked, quantise."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
    parser.add_argument(
        '--size',
        nargs=2,
        type=int,
        default=[256, 320],
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
    parser.add_argument('--overwrite', action='store_true')
    args = parser.parse_args()
    try:
        sys.exit(run(args))
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        sys.exit(f'error: {error}')


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say; return the exit status."""
    require_package('onnxruntime')
    if args.quantize == 'static' and not args.images:
        raise ValueError(
            '--quantize static measures ranges on images: name '
            'a folder of them with --images'
        )
    quantized = args.out.with_suffix('.int8.onnx')
    failed = args.out.with_suffix('.failed.onnx')
    writer = Writer(
        args.overwrite, [args.config, *filter(None, [args.checkpoint])]
    )
    writer.check(args.out, *([quantized] if args.quantize else []))
    detector = load_detector(args.config, args.checkpoint)
    # Nothing that is there is replaced by a file that was not checked.
    with folder_beside(args.out) as folder:
        draft = folder / args.out.name
        deployed = export_onnx(
            detector, draft, args.part, args.pixels, args.size
        )
        checks = check_onnx(
            draft, deployed, sizes_to_check(deployed, args.size), args.images
        )
        print(check_table(checks).text(), flush=True)
        if not all(check.difference <= TOLERANCE for check in checks):
            replace(writer, renews=True).publish(draft, failed)
            print(
                'error: the file differs from MMDetection by more than '
                f'{TOLERANCE}; it is kept as {failed}',
                file=sys.stderr,
            )
            return 1
        writer.publish(draft, args.out)
    print(args.out)
    if not all(check.values for check in checks):
        print(
            'note: where nothing was detected, nothing was compared; name '
            'images of its kind with --images'
        )
    if not args.quantize:
        return 0
    batches = [
        make_batch(deployed, (1, *args.size), args.images, i)
        for i in range(32)
    ]
    quantize_onnx(args.out, quantized, args.quantize, batches, args.overwrite)
    agreement = agreement_table(args.out, quantized, batches)
    print(f'{agreement.text()}\n{quantized}')
    broken = disagreements(agreement)
    for words in broken:
        print(f'error: {words}', file=sys.stderr)
    return int(bool(broken))


if __name__ == '__main__':
    main()
