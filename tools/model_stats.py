#!/usr/bin/env python3
"""The command ``sge-mmdet model-stats`` as a script."""

from sge_mmdet_cli.model_stats import main

if __name__ == '__main__':
    main()
