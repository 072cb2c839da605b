#!/usr/bin/env python3
"""The command ``sge-mmdet evaluate`` as a script."""

from sge_mmdet_cli.evaluate import main

if __name__ == '__main__':
    main()
