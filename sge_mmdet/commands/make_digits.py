"""Make the demo's data set of handwritten digits.

Handwritten digits are pasted on photographs, at sizes from small to large.
"""

import argparse
import dataclasses
from typing import Optional, Sequence

from ..datasets import DigitsOptions, make_digits
from .common import create_parser, reported_errors

HELP = dict(
    train_images='number of training images',
    val_images='number of validation images',
    image_size='width and height of an image, in pixels',
    min_digit='height of the smallest digit, in pixels',
    max_digit='height of the largest digit, in pixels',
    max_objects='largest number of digits in an image',
    seed='random seed',
)


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the options."""
    parser = create_parser('make-digits', __doc__, args)
    parser.add_argument(
        '--out',
        default='data/digits',
        help='folder of the data set; default: %(default)s',
    )
    for field in dataclasses.fields(DigitsOptions):
        parser.add_argument(
            '--' + field.name.replace('_', '-'),
            type=int,
            default=field.default,
            help=f'{HELP[field.name]}; default: %(default)s',
        )
    return parser.parse_args(args)


@reported_errors()
def main(args: Optional[Sequence[str]] = None) -> None:
    """Make the data set, unless it already exists."""
    options = vars(parse_args(args))
    out = options.pop('out')
    made = make_digits(out, DigitsOptions(**options))
    print(f'{out}: {"written" if made else "already there"}')
