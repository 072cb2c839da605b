"""The command ``sge-mmdet make-digits``, once its arguments are parsed."""

import argparse

from ..datasets import DigitsOptions, make_digits
from .common import reported_errors


@reported_errors()
def run(options: argparse.Namespace) -> None:
    """Make the data set, unless it already exists."""
    arguments = vars(options)
    out = arguments.pop('out')
    made = make_digits(out, DigitsOptions(**arguments))
    print(f'{out}: {"written" if made else "already there"}')
