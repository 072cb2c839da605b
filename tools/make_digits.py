#!/usr/bin/env python3
"""The command ``sge-mmdet make-digits`` as a script."""

from sge_mmdet_cli.make_digits import main

if __name__ == '__main__':
    main()
