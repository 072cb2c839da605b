#!/usr/bin/env python3
"""Make the demo's data set, handwritten digits on photographs."""

import argparse
import dataclasses
import sys

from sge_mmdet.datasets import DigitsOptions, make_digits


def main() -> None:
    """Parse the options and make the data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--out',
        default='data/digits',
        help='folder to make (default: %(default)s)',
    )
    for field in dataclasses.fields(DigitsOptions):
        parser.add_argument(
            '--' + field.name.replace('_', '-'),
            type=int,
            default=field.default,
            help='default: %(default)s',
        )
    options = vars(parser.parse_args())
    out = options.pop('out')
    try:
        made = make_digits(out, DigitsOptions(**options))
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    print(f'{out}: {"written" if made else "already there"}')


if __name__ == '__main__':
    main()
