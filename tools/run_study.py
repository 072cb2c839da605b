#!/usr/bin/env python3
"""The command ``sge-mmdet run-study`` as a script."""

from sge_mmdet_cli.run_study import main

if __name__ == '__main__':
    main()
