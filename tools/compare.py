#!/usr/bin/env python3
"""The command ``sge-mmdet compare`` as a script."""

from sge_mmdet_cli.compare import main

if __name__ == '__main__':
    main()
