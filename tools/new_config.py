#!/usr/bin/env python3
"""The command ``sge-mmdet new-config`` as a script."""

from sge_mmdet_cli.new_config import main

if __name__ == '__main__':
    main()
