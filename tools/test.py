#!/usr/bin/env python3
"""MMDetection's tools/test.py with SGE registered; see its --help."""
from sge_mmdet.runner import run_stock_tool

if __name__ == '__main__':
    run_stock_tool('test.py')
