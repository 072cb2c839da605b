#!/usr/bin/env python3
"""Run the tests of the C++ kernels with a build that reports wrong accesses.

The kernels are built with GCC's address and undefined behaviour sanitizers,
outside the package. Any report ends the tests.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FLAGS = (
    '-std=c++14',
    '-O1',
    '-g',
    '-fopenmp-simd',
    '-fno-math-errno',
    '-fno-trapping-math',
    '-pthread',
    '-fPIC',
    '-shared',
    '-fsanitize=address,undefined',
    '-fno-sanitize-recover=all',
)
ROOT = Path(__file__).resolve().parents[2]
TESTS = ('tests/test_ops/test_backends.py', 'tests/test_ops/test_native.py')
# In the tested process: it loads the built library in place of the usual one.
RUN = """
import sys
from pathlib import Path
import pytest
from sge_mmdet.ops import native
native.FOLDER = Path(sys.argv[1])
loaded = native.library()
assert loaded and Path(loaded._name).parent == native.FOLDER, loaded
sys.exit(pytest.main(sys.argv[2:]))
"""


def build(folder: Path, compiler: str) -> None:
    """Build the library, with its digest beside it.

    Args:
        folder (Path): Where it is written.
        compiler (str): The C++ compiler.

    Raises:
        subprocess.CalledProcessError: If the compiler fails.
    """
    library = folder / '_sge.so'
    subprocess.run(
        [compiler, *FLAGS, 'sge_mmdet/ops/native/sge.cpp', '-o', str(library)],
        cwd=ROOT,
        check=True,
    )
    digest = hashlib.sha256(library.read_bytes()).hexdigest()
    (folder / '_sge.so.sha256').write_text(f'{digest}  {library.name}\n')


def run(folder: Path, compiler: str, arguments: 'list[str]') -> int:
    """Run pytest with the library and return its exit status.

    Args:
        folder (Path): Where the library is.
        compiler (str): The C++ compiler, which knows its sanitizer.
        arguments (list[str]): Those of pytest.
    """
    # The second is there for the first, which looks for its exceptions.
    runtime = [
        subprocess.run(
            [compiler, f'-print-file-name={name}'],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout.strip()
        for name in ('libasan.so', 'libstdc++.so')
    ]
    # Python and PyTorch leak a little on purpose.
    env = dict(
        os.environ,
        LD_PRELOAD=':'.join(runtime),
        OMP_NUM_THREADS='2',
        ASAN_OPTIONS='detect_leaks=0',
    )
    return subprocess.run(
        [sys.executable, '-c', RUN, str(folder), *arguments], cwd=ROOT, env=env
    ).returncode


def main() -> int:
    """Build, run, and return the exit status of the tests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--compiler', default='g++')
    parser.add_argument(
        '-k',
        default='native',
        metavar='EXPRESSION',
        help='tests to run, as pytest takes it',
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), args.compiler)
        return run(
            Path(folder),
            args.compiler,
            ['-q', '-p', 'no:cacheprovider', '-k', args.k, *TESTS],
        )


if __name__ == '__main__':
    sys.exit(main())
