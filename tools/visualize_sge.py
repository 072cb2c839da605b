#!/usr/bin/env python3
"""The command ``sge-mmdet visualize`` as a script."""

from sge_mmdet_cli.visualize import main

if __name__ == '__main__':
    main()
