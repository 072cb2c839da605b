#!/usr/bin/env python3
"""The command ``sge-mmdet export-onnx`` as a script."""

from sge_mmdet_cli.export_onnx import main

if __name__ == '__main__':
    main()
