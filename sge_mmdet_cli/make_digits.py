"""Make the demo's data set of handwritten digits.

Handwritten digits are pasted on photographs, at sizes from small to large.
"""

import argparse
from typing import Optional, Sequence

from .options import create_parser
from .running import ends_process, run_command

# Defaults and descriptions of the fields of DigitsOptions.
FIELDS = dict(
    train_images=(400, 'number of training images'),
    val_images=(48, 'number of validation images'),
    image_size=(256, 'width and height of an image, in pixels'),
    min_digit=(8, 'height of the smallest digit, in pixels'),
    max_digit=(110, 'height of the largest digit, in pixels'),
    max_objects=(20, 'largest number of digits in an image'),
    seed=(0, 'random seed'),
)


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the options."""
    parser = create_parser('make-digits', __doc__, args)
    parser.add_argument(
        '--out',
        default='data/digits',
        help='folder of the data set; default: %(default)s',
    )
    for name, (default, description) in FIELDS.items():
        parser.add_argument(
            '--' + name.replace('_', '-'),
            type=int,
            default=default,
            help=f'{description}; default: %(default)s',
        )
    return parser.parse_args(args)


def main(args: Optional[Sequence[str]] = None) -> None:
    """Parse the arguments and run the command."""
    run_command('make-digits', parse_args(args), ends_process(args))
