#!/usr/bin/env python3
"""Export a detector with SGE to ONNX, and check the file with onnxruntime.

The file takes any batch, height and width. What it finds is compared with
MMDetection at other sizes than the one it was exported at; if a difference is
above 1e-4 the exit status is 1. docs/deployment.md says what is in the file.
"""
import argparse
import sys
from pathlib import Path

from sge_mmdet.deployment import (
    MODES,
    PARTS,
    TOLERANCE,
    agreement_table,
    check_onnx,
    check_table,
    export_onnx,
    load_detector,
    make_batch,
    need,
    quantize_onnx,
)


def main() -> None:
    """Export, check and, if asked, quantise."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of a detector')
    parser.add_argument('checkpoint', nargs='?',
                        help='its weights; default: random ones, to try')
    parser.add_argument('--out', type=Path, required=True,
                        metavar='FILE.onnx')
    parser.add_argument(
        '--part', choices=PARTS, default='detector',
        help='features of the backbone; raw outputs of the heads of a '
        'single-stage detector; or boxes, scores, labels (and masks in their '
        'boxes); default: detector')
    parser.add_argument(
        '--pixels', action='store_true',
        help='the input is uint8 pixels, BGR, and normalisation and padding '
        'are in the file; without, it is normalised float32')
    parser.add_argument('--size', nargs=2, type=int, default=[256, 320],
                        metavar=('H', 'W'),
                        help='of the image that is traced; default: 256 320')
    parser.add_argument('--images', type=Path, metavar='FOLDER',
                        help='images to check with; default: smooth noise')
    parser.add_argument(
        '--quantize', choices=MODES,
        help='write FILE.int8.onnx as well; static measures ranges on '
        '--images')
    parser.add_argument('--overwrite', action='store_true')
    args = parser.parse_args()
    try:
        sys.exit(run(args))
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        sys.exit(f'error: {error}')


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say; return the exit status."""
    need('onnxruntime')
    if args.quantize == 'static' and not args.images:
        raise ValueError('--quantize static measures ranges on images: name '
                         'a folder of them with --images')
    detector = load_detector(args.config, args.checkpoint)
    deployed = export_onnx(detector, args.out, args.part, args.pixels,
                           args.size, args.overwrite)
    height, width = args.size
    shapes = ((1, height + 64, max(width - 32, 32)),
              (3, max(height - 19, 32), width + 45))
    checks = check_onnx(args.out, deployed, shapes, args.images)
    print(check_table(checks).text(), f'\n{args.out}', flush=True)
    if not all(check.values for check in checks):
        print('note: where nothing was detected, nothing was compared; name '
              'images of its kind with --images')
    if args.quantize:
        quantized = args.out.with_suffix('.int8.onnx')
        batches = [make_batch(deployed, (1, *args.size), args.images, i)
                   for i in range(32)]
        quantize_onnx(args.out, quantized, args.quantize, batches,
                      args.overwrite)
        print(agreement_table(args.out, quantized, batches).text(),
              f'\n{quantized}')
    worst = max(check.difference for check in checks)
    if not worst <= TOLERANCE:
        print(f'error: the file differs from MMDetection by {worst:.1e}, '
              f'more than {TOLERANCE}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    main()
