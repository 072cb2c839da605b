#!/usr/bin/env python3
"""The command ``sge-mmdet convert-checkpoint`` as a script."""

from sge_mmdet_cli.convert_checkpoint import main

if __name__ == '__main__':
    main()
