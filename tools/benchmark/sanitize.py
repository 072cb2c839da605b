#!/usr/bin/env python3
"""Look for wrong memory accesses of the kernels with NVIDIA's sanitizer.

It runs the small cases of check_kernels.py. Where compute-sanitizer is not
installed, or without a GPU, it says so and exits with 77.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from options import add_choices
from process import SKIPPED

HERE = Path(__file__).resolve().parent
# Out-of-bounds accesses, and races in shared memory.
CHECKS = ('memcheck', 'racecheck')
WRONG = 9


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_choices(parser, 'check', "the sanitizer's tools", CHECKS, CHECKS)
    return parser.parse_args()


def main() -> None:
    """Run the checks; exit with the first status that is not 0."""
    args = parse_options()
    tool = shutil.which('compute-sanitizer') or shutil.which(
        'compute-sanitizer', path='/usr/local/cuda/bin'
    )
    reason = (
        'there is no GPU'
        if not torch.cuda.is_available()
        else 'compute-sanitizer is not installed'
        if tool is None
        else None
    )
    if reason:
        print(f'skipped: {reason}')
        sys.exit(SKIPPED)
    for check in args.check:
        print(f'{check} ...', flush=True)
        done = subprocess.run(
            [
                *(tool, '--tool', check, '--error-exitcode', str(WRONG)),
                *(sys.executable, str(HERE / 'check_kernels.py')),
                *('--sizes', 'small', '--repeats', '1'),
            ],
            # Each tensor an allocation of its own, whose ends are known.
            env={**os.environ, 'PYTORCH_NO_CUDA_MEMORY_CACHING': '1'},
        )
        if done.returncode:
            sys.exit(done.returncode)


if __name__ == '__main__':
    main()
