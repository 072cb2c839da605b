"""``python -m sge_mmdet``, which is the console command ``sge-mmdet``."""

from sge_mmdet_cli import main

if __name__ == '__main__':
    main()
