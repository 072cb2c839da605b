#!/usr/bin/env python3
"""The command ``sge-mmdet detect-onnx`` as a script."""

from sge_mmdet_cli.detect_onnx import main

if __name__ == '__main__':
    main()
