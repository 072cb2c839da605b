#!/usr/bin/env python3
"""The command ``sge-mmdet add-sge`` as a script."""

from sge_mmdet_cli.add_sge import main

if __name__ == '__main__':
    main()
