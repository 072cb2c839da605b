#!/usr/bin/env python3
"""The command ``sge-mmdet train`` as a script."""

from sge_mmdet_cli.train import main

if __name__ == '__main__':
    main()
