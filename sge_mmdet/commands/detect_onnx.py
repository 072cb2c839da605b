"""The command ``sge-mmdet detect-onnx``, once its arguments are parsed."""

import argparse

from ..deployment import detect_with_onnx
from .common import reported_errors


@reported_errors()
def run(options: argparse.Namespace) -> None:
    """Write the detections."""
    number = detect_with_onnx(
        options.file, options.config, options.out, options.overwrite
    )
    print(f'{number} detections in {options.out}')
