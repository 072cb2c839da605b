#!/usr/bin/env python3
"""MMDetection's tools/train.py with SGE registered; see its --help."""
from sge_mmdet.runner import run_stock_tool

if __name__ == '__main__':
    run_stock_tool('train.py')
