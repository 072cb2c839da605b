#!/usr/bin/env python3
"""Set up the environment of `make demo` and `make test`.

Makes a virtual environment and installs what requirements/*.txt name, in the
order that works: torch, the build tools, mmcv (compiled against that torch),
the rest. What is installed there already and works is kept. Can be run again
at any time; when nothing changed it takes a second.
"""

import argparse
import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / 'requirements'
PYTHON = (3, 11)
GIB = 2**30
# Measured with the versions in requirements/, rounded up: what the environment
# takes in the end (1.6; torch for CUDA alone 4.7), and what the temporary
# folder holds meanwhile (mmcv's build 0.5; downloads for CUDA 2.6).
VENV_GIB, BUILD_GIB = 3.0, 1.0
CUDA_VENV_GIB, CUDA_DOWNLOAD_GIB = 6.0, 3.0
# A compilation of mmcv's takes about 1 GiB of memory.
MEMORY_PER_JOB = 1.5 * GIB
# Packages of which an installed version stays, whatever the others want.
KEPT = ('torch', 'mmcv', 'mmengine', 'mmdet', 'numpy')
# An installed version in this range is kept; see sge_mmdet/compatibility.py.
PROBES = {
    'torch': 'import torch; torch.ones(1) + 1',
    'mmcv': 'import mmcv.ops, mmcv; '
    'v = tuple(map(int, mmcv.__version__.split(".")[:2])); '
    'assert (2, 0) <= v < (2, 2), mmcv.__version__',
    'cv2': 'import cv2',
    'pip': 'import pip',
    'build tools': 'import pkg_resources',
    'all': 'import torch, mmcv.ops, mmdet.apis, pycocotools.mask, sge_mmdet, '
    'skimage, sklearn, onnx, onnxruntime, plotly, pytest, hypothesis',
}
# What pip or the compiler says, and what it means.
CAUSES = (
    (
        r'Temporary failure in name resolution|Failed to establish a new '
        r'connection|NewConnectionError|Network is unreachable|Connection '
        r'refused|ProxyError|ReadTimeoutError|Max retries exceeded',
        'no network: pip cannot reach the package index (behind a proxy, set '
        'HTTPS_PROXY; for another index, PIP_INDEX_URL)',
    ),
    (r'No space left on device', 'the disk is full'),
    (
        r'CUDA_HOME environment variable is not set|nvcc.*not found|'
        r'Unable to find CUDA',
        'torch sees a GPU, and mmcv needs the CUDA toolkit (nvcc) to compile '
        'for it: install the toolkit or a pre-built mmcv 2.1.0 into the '
        'environment, or set CUDA_VISIBLE_DEVICES= to build for the CPU',
    ),
    (
        r'Killed|internal compiler error|cannot allocate memory',
        'the compiler ran out of memory: set MAX_JOBS=1',
    ),
)


class SetupError(Exception):
    """What stops the set-up, in one line."""


class Steps:
    """Runs commands, shows what they are at, and keeps what they printed."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.live = sys.stdout.isatty()
        log.write_text('')

    def run(self, label: str, command: list, **env: str) -> None:
        """Run a command; raise a SetupError with the cause if it fails."""
        start = shown = time.monotonic()
        print(f'{label} ...', end='' if self.live else '\n', flush=True)
        with self.log.open('a') as log:
            log.write(f'\n$ {" ".join(map(str, command))}\n')
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors='replace',
                cwd=ROOT,
                env={**os.environ, **env},
            )
            for line in process.stdout:
                log.write(line)
                now = time.monotonic()
                if now - shown > (0.2 if self.live else 20):
                    shown = now
                    self._show(label, line, now - start)
        seconds = time.monotonic() - start
        if process.wait():
            raise SetupError(f'{label} failed: {self._cause()}')
        print(f'{self._wipe()}{label}: {seconds:.0f} s', flush=True)

    def _wipe(self) -> str:
        return '\r\033[K' if self.live else ''

    def _show(self, label: str, line: str, seconds: float) -> None:
        text = f'{label} ... {seconds:.0f} s: {line.strip()}'
        compiled = re.search(r'\[(\d+/\d+)\]', line)
        if compiled:
            text = f'{label} ... {seconds:.0f} s: {compiled.group(1)} files'
        width = shutil.get_terminal_size().columns - 1
        print(
            self._wipe() + text[:width],
            end='' if self.live else '\n',
            flush=True,
        )

    def _cause(self) -> str:
        text = self.log.read_text(errors='replace')
        text = text[text.rindex('\n$ ') :]
        for pattern, cause in CAUSES:
            if re.search(pattern, text):
                return f'{cause}. All output: {self.log}'
        errors = [line for line in text.splitlines() if 'rror' in line]
        last = (errors or text.splitlines())[-1].strip()
        return f'{last}. All output: {self.log}'


def check_python(target: Path) -> None:
    """Raise a SetupError unless the environment has or gets Python 3.11."""
    wanted = '.'.join(map(str, PYTHON))
    found, python = sys.version_info[:2], target / 'bin' / 'python'
    if python.exists():
        print_version = 'import sys; print(*sys.version_info[:2])'
        found = tuple(
            map(
                int,
                subprocess.run(
                    [python, '-c', print_version],
                    check=True,
                    text=True,
                    stdout=subprocess.PIPE,
                ).stdout.split(),
            )
        )
    elif importlib.util.find_spec('ensurepip') is None:
        raise SetupError(
            f'{sys.executable} cannot make environments. Install what it '
            f'lacks, e.g. apt install python{wanted}-venv'
        )
    if found != PYTHON:
        place = python if python.exists() else sys.executable
        raise SetupError(
            f'Python {wanted} is needed, {place} is '
            f'{".".join(map(str, found))}. Install it and name it: make '
            f'PYTHON=python{wanted} ..., with a new VENV if there is one'
        )


def check_build(target: Path) -> None:
    """Raise a SetupError if this machine cannot compile mmcv."""
    compiler = shlex.split(os.environ.get('CXX', 'c++'))[0]
    if shutil.which(compiler) is None:
        raise SetupError(
            f'no C++ compiler ({compiler}): mmcv has to be compiled. Install '
            'one, e.g. apt install g++'
        )
    header = Path(sysconfig.get_paths()['include'], 'Python.h')
    if not header.exists():
        raise SetupError(
            f'no Python headers ({header}): mmcv has to be compiled. Install '
            'them, e.g. apt install python3-dev'
        )
    check_disk(target, VENV_GIB, 'the environment')
    check_disk(
        Path(tempfile.gettempdir()),
        BUILD_GIB,
        "mmcv's build (TMPDIR names another folder)",
    )


def check_disk(folder: Path, needed: float, use: str) -> None:
    """Raise a SetupError if a folder's disk has too few GiB free."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / GIB
    if free < needed:
        raise SetupError(
            f'too little disk: {use} needs {needed} GiB in '
            f'{folder}, {free:.1f} GiB are free'
        )


def works(python: Path, probe: str) -> bool:
    """Return whether an environment can run one of :data:`PROBES`."""
    return (
        python.exists()
        and subprocess.run(
            [python, '-c', PROBES[probe]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ).returncode
        == 0
    )


def pins(name: str) -> dict:
    """Return the lines of a requirements file by the name of the package."""
    lines = (REQUIREMENTS / f'{name}.txt').read_text().splitlines()
    return {
        line.split('==')[0]: line
        for line in lines
        if line and not line.startswith('#')
    }


def fingerprint() -> str:
    """Return a hash of everything that decides what the environment holds."""
    files = [
        *sorted(REQUIREMENTS.glob('*.txt')),
        ROOT / 'setup.py',
        ROOT / 'setup.cfg',
        *sorted(ROOT.glob('sge_mmdet/**/*.cpp')),
        *sorted(ROOT.glob('sge_mmdet/**/*.h')),
        Path(__file__),
    ]
    content = b''.join(file.read_bytes() for file in files)
    return hashlib.sha256(content + str(ROOT).encode()).hexdigest()


def install_torch(steps: Steps, python: Path, requirement: str) -> None:
    """Install torch, if there is the disk for the build that pip picks."""
    plan = subprocess.run(
        [python, '-m', 'pip', 'install', '--dry-run', requirement],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ).stdout
    if 'nvidia' in plan:
        check_disk(python, CUDA_VENV_GIB, 'the environment with CUDA')
        check_disk(
            Path(tempfile.gettempdir()),
            CUDA_DOWNLOAD_GIB,
            "pip's downloads (TMPDIR names another folder)",
        )
    pip_install(steps, 'torch', python, [requirement])


def pip_install(
    steps: Steps, label: str, python: Path, arguments: list, **env: str
) -> None:
    """Install packages; what is there stays, what comes along is pinned."""
    there = installed(python)
    constraints = [
        line for name, line in pins('environment').items() if name not in there
    ]
    constraints += [
        f'{name}=={there[name]}' for name in sorted(there) if name in KEPT
    ]
    with tempfile.NamedTemporaryFile('w', suffix='.txt') as file:
        file.write('\n'.join(constraints))
        file.flush()
        steps.run(
            label,
            [python, '-m', 'pip', 'install', '-c', file.name, *arguments],
            **env,
        )


def installed(python: Path) -> dict:
    """Return the installed versions by the name of the package."""
    listed = subprocess.run(
        [python, '-m', 'pip', 'list', '--format=freeze'],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.splitlines()
    pairs = (line.split('==') for line in listed if '==' in line)
    return {name.lower().replace('_', '-'): found for name, found in pairs}


def install_mmcv(steps: Steps, python: Path, requirement: str) -> None:
    """Compile mmcv; a wheel that pip kept is taken if it fits this torch."""
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    jobs = max(1, min(os.cpu_count() or 1, int(memory / MEMORY_PER_JOB)))
    compiler = Path(__file__).with_name('pch_compiler.py')
    arguments = ['-v', '--no-build-isolation', requirement]
    with tempfile.TemporaryDirectory(prefix='mmcv_headers_') as folder:
        env = dict(
            MAX_JOBS=os.environ.get('MAX_JOBS', str(jobs)),
            CFLAGS='-g0 -O2 -w',
            SGE_PCH_DIR=folder,
            SGE_REAL_CXX=os.environ.get('CXX', 'c++'),
            CXX=str(compiler),
        )
        pip_install(
            steps, 'mmcv (compiled, a few minutes)', python, arguments, **env
        )
        if not works(python, 'mmcv'):
            pip_install(
                steps,
                'mmcv again (the cached wheel is of another torch)',
                python,
                [
                    '--no-deps',
                    '--no-cache-dir',
                    '--force-reinstall',
                    *arguments,
                ],
                **env,
            )


def install_opencv(steps: Steps, python: Path, requirement: str) -> None:
    """Install OpenCV, without its windows where the machine lacks libGL."""
    pip_install(steps, 'OpenCV', python, [requirement])
    if not works(python, 'cv2'):
        headless = requirement.replace('python', 'python-headless')
        pip_install(
            steps,
            'OpenCV without a display (libGL is missing)',
            python,
            ['--no-deps', '--force-reinstall', headless],
        )


def install_rest(steps: Steps, python: Path) -> None:
    """Install the other packages that are missing, and this one."""
    there = installed(python)
    if works(python, 'cv2'):
        # Under whichever of its names.
        there.setdefault('opencv-python', '')
    missing = [
        line for name, line in pins('environment').items() if name not in there
    ]
    if missing:
        pip_install(steps, 'MMDetection and the rest', python, missing)
    steps.run(
        'sge_mmdet',
        [
            python,
            '-m',
            'pip',
            'install',
            '--no-deps',
            '--no-build-isolation',
            '-e',
            str(ROOT),
        ],
    )


def set_up(target: Path) -> None:
    """Bring the environment in ``target`` up to date."""
    python, stamp = target / 'bin' / 'python', target / 'sge_mmdet.stamp'
    current = fingerprint()
    if stamp.exists() and stamp.read_text() == current and python.exists():
        return
    if not python.exists() and target.exists() and any(target.iterdir()):
        raise SetupError(
            f'{target} already holds other files; name another '
            'folder, e.g. make VENV=env ...'
        )
    check_python(target)
    compiles = not works(python, 'mmcv')
    if compiles:
        check_build(target)
    start = time.monotonic()
    if not works(python, 'pip'):
        print(f'making {target}', flush=True)
        venv.create(target, with_pip=True)
    steps = Steps(target / 'setup.log')
    requirements = pins('environment')
    if not works(python, 'torch'):
        install_torch(steps, python, requirements['torch'])
    if compiles or not works(python, 'build tools'):
        steps.run(
            'build tools',
            [python, '-m', 'pip', 'install', *pins('build').values()],
        )
    if not works(python, 'cv2'):
        install_opencv(steps, python, requirements['opencv-python'])
    # Asked again: mmcv imports OpenCV.
    if not works(python, 'mmcv'):
        install_mmcv(steps, python, requirements['mmcv'])
    install_rest(steps, python)
    steps.run('check', [python, '-c', PROBES['all']])
    stamp.write_text(current)
    print(
        f'{target} is ready after {time.monotonic() - start:.0f} s', flush=True
    )


def main() -> None:
    """Parse the arguments, set up, and end with one line if that fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'target',
        nargs='?',
        type=Path,
        default=ROOT / '.venv',
        help='folder of the environment (default: .venv)',
    )
    try:
        set_up(parser.parse_args().target.absolute())
    except (SetupError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f'\nerror: {error}')
    except KeyboardInterrupt:
        sys.exit('\ninterrupted; run it again to go on')


if __name__ == '__main__':
    main()
