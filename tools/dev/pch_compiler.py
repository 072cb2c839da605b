#!/usr/bin/env python3
"""A C++ compiler that precompiles PyTorch's headers once.

Nearly all the time of building mmcv goes into parsing ``torch/types.h``, once
for each of its 77 source files. Used as ``CXX``, this script parses it once:
the first compilation also writes a precompiled header with exactly the flags
of that call (g++ ignores one made with other flags), the others include it.
Every other call is passed on as it is.

Environment variables:
    SGE_REAL_CXX: The compiler to run. Default: ``c++``.
    SGE_PCH_DIR: An existing folder for the precompiled header. Required.
"""

import fcntl
import os
import shlex
import subprocess
import sys
from pathlib import Path

HEADERS = ('torch/types.h', 'vector')


def header_flags(args: 'list[str]') -> 'list[str]':
    """Return the flags of a compilation without its input and its outputs."""
    flags, rest = [], iter(args)
    for arg in rest:
        if arg in ('-o', '-MF'):
            next(rest)
        elif arg not in ('-c', '-MMD') and not arg.endswith('.cpp'):
            flags.append(arg)
    return flags


def main() -> None:
    """Precompile the headers if nobody has, and compile."""
    cxx = shlex.split(os.environ.get('SGE_REAL_CXX', 'c++'))
    args = sys.argv[1:]
    if '-c' in args and any(arg.endswith('.cpp') for arg in args):
        header = Path(os.environ['SGE_PCH_DIR'], 'pch.h')
        with open(header.with_suffix('.lock'), 'w') as lock:
            # ninja starts several compilations at once; one writes the header.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not header.exists():
                header.write_text(
                    ''.join(f'#include <{name}>\n' for name in HEADERS)
                )
                # Without the precompiled form the plain header is included:
                # slower, and still right, so a failure here ends nothing.
                subprocess.run(
                    [
                        *cxx,
                        *header_flags(args),
                        '-x',
                        'c++-header',
                        str(header),
                        '-o',
                        f'{header}.gch',
                    ]
                )
        args = ['-include', str(header), *args]
    os.execvp(cxx[0], [*cxx, *args])


if __name__ == '__main__':
    main()
