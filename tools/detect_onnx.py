#!/usr/bin/env python3
"""Run an ONNX detector on a config's test data, for tools/evaluate.py.

The file is one of `tools/export_onnx.py CONFIG CHECKPOINT --pixels`. The
images come through the config's own pipeline.
"""

import argparse
import sys

from sge_mmdet.deployment import detect_with_onnx


def main() -> None:
    """Write the detections."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config with the test data')
    parser.add_argument('file', help='the ONNX file')
    parser.add_argument(
        '--out',
        required=True,
        metavar='FILE.json',
        help="detections in COCO's result format",
    )
    parser.add_argument('--overwrite', action='store_true')
    args = parser.parse_args()
    try:
        number = detect_with_onnx(
            args.file, args.config, args.out, args.overwrite
        )
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        sys.exit(f'error: {error}')
    print(f'{number} detections in {args.out}')


if __name__ == '__main__':
    main()
