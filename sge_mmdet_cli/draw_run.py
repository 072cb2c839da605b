"""Draw the losses, AP and detections of a training run.

Test the detector first, with the option
`--cfg-options test_evaluator.outfile_prefix=WORK_DIR/test`, so that its
detections are in WORK_DIR.
"""

import argparse
from pathlib import Path
from typing import Optional, Sequence

from .options import (
    add_overwrite_option,
    create_parser,
)
from .running import run_command


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the options."""
    parser = create_parser('draw-run', __doc__, args)
    parser.add_argument('config', help='config of the training run')
    parser.add_argument(
        'work_dir',
        type=Path,
        help='work directory of the run, with test.bbox.json; the pictures '
        'are written there',
    )
    add_overwrite_option(parser, renews=True)
    return parser.parse_args(args)


def main(args: Optional[Sequence[str]] = None) -> None:
    """Parse the arguments and run the command."""
    run_command('draw-run', parse_args(args))
