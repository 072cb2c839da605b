#!/usr/bin/env python3
"""Run the tests of the operator; on a machine with a GPU they use it.

Where what they import is not installed, it says so and exits with 77.
"""

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

from options import add_numbers
from process import SKIPPED

ROOT = Path(__file__).resolve().parents[2]
NEEDED = 'pytest', 'hypothesis', 'xdist', 'mmengine'


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_numbers(parser, dict(jobs=(6, 'processes that run tests')))
    parser.add_argument(
        'tests',
        nargs='*',
        default=['tests/test_ops'],
        help='folders and files of tests. Default: tests/test_ops',
    )
    return parser.parse_args()


def main() -> None:
    """Run the tests; exit with pytest's status."""
    args = parse_options()
    missing = [name for name in NEEDED if not importlib.util.find_spec(name)]
    if missing:
        print(f'skipped: {", ".join(missing)} cannot be imported')
        sys.exit(SKIPPED)
    command = ['-m', 'pytest', '-n', str(args.jobs), *args.tests]
    done = subprocess.run([sys.executable, *command], cwd=ROOT)
    sys.exit(done.returncode)


if __name__ == '__main__':
    main()
