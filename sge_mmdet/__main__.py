"""``python -m sge_mmdet``, which is the console command ``sge-mmdet``.

Python imports the package first, which takes seconds; ``sge-mmdet`` does so
only to run a command.
"""

import sys

from sge_mmdet_cli import main

if __name__ == '__main__':
    main(sys.argv[1:])
