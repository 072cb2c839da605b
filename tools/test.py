#!/usr/bin/env python3
"""MMDetection's tools/test.py with SGE registered; see its --help."""

from sge_mmdet.engine import run_upstream_tool

if __name__ == '__main__':
    run_upstream_tool('test.py')
