#!/usr/bin/env python3
"""The command ``sge-mmdet draw-run`` as a script."""

from sge_mmdet_cli.draw_run import main

if __name__ == '__main__':
    main()
