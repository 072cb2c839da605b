#!/usr/bin/env python3
"""The command ``sge-mmdet test`` as a script."""

from sge_mmdet_cli.test import main

if __name__ == '__main__':
    main()
