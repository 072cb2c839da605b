#!/usr/bin/env python3
"""Gather the wheels of a machine that has torch and Triton alone.

OUT gets MMDetection, mmcv-lite, this package, and all that they need but
torch, for this version of Python. There, without a network:

    pip install --no-index --find-links OUT sge_mmdet mmdet mmcv-lite
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / 'requirements'
# mmengine imports pkg_resources, which newer ones lack; see build.txt.
NEEDED = ('mmcv-lite==2.1.0', 'mmengine', 'mmdet', 'setuptools<81')


def main() -> None:
    """Gather them; exit with pip's status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path, help='folder to write to')
    args = parser.parse_args()
    done = subprocess.run(
        [
            sys.executable,
            '-m',
            'pip',
            'wheel',
            '--wheel-dir',
            str(args.out),
            '--constraint',
            str(REQUIREMENTS / 'environment.txt'),
            *NEEDED,
            str(ROOT),
        ]
    )
    if done.returncode == 0:
        names = sorted(path.name for path in args.out.glob('*.whl'))
        print(
            f'{len(names)} wheels in {args.out}; on the machine: pip install'
            f' --no-index --find-links {args.out.name} sge_mmdet mmdet '
            'mmcv-lite'
        )
    sys.exit(done.returncode)


if __name__ == '__main__':
    main()
