"""Steps of a measurement on a GPU, in the order in which they run.

Steps that measure no time and follow each other run side by side.
"""

from dataclasses import dataclass, replace
from typing import List

LAYOUTS = dict(NCHW='contiguous_format', NHWC='channels_last')
# Options of more than one step.
BOTH_LAYOUTS = f'--layout {" ".join(LAYOUTS.values())}'
BOTH_IN_NETWORKS = '--layout NCHW NHWC'
TINY = '--size 64 96 --images 1 --depth 18'


@dataclass(frozen=True)
class Step:
    """A process with a time limit.

    Attributes:
        name: Name of the step, of its log and of its CSV file.
        title: Title of its section of the page.
        command: Script in this folder, with options.
        seconds: Time limit.
        takes_device: Whether the script has an option ``--device``.
        writes: Whether the script writes a CSV file and a picture.
        timed: Whether it measures times, and so has an option ``--rounds``
            and runs alone.
    """

    name: str
    title: str
    command: str
    seconds: int
    takes_device: bool = True
    writes: bool = True
    timed: bool = True


def small_steps() -> List[Step]:
    """Return steps that run every script once, with small sizes."""
    return [
        Step(
            'check',
            'Correctness of the kernels',
            'check_kernels.py --sizes tiny --repeats 2 --backend triton',
            300,
            writes=False,
            timed=False,
        ),
        _sanitizer('memcheck', 300),
        _training('--iterations 2 --size 64 --images 1 --depth 18', 300),
        Step('tiles', 'Tiles', 'tiles.py --small --rounds 1 --jobs 1', 300),
        Step(
            'ops',
            'Operator and end of a block',
            'ops.py --rounds 1 --dtype float16 bfloat16'
            f' {BOTH_LAYOUTS} --shape 1x64x3x4 --no-compile',
            300,
        ),
        _host_time('--rounds 1', 300),
        Step('network', 'ResNet + FPN', f'network.py --rounds 1 {TINY}', 300),
        _distributed(60),
    ]


def all_steps() -> List[Step]:
    """Return all that is measured on a GPU, the most important first."""
    return [
        *_untimed_steps(),
        Step('tiles', 'Tiles', 'tiles.py', 240),
        _host_time('', 60),
        *_all_ops('float32', 'float16'),
        _network('amp_float16', 240),
        _network('tf32', 240),
        _training('', 180),
        replace(
            _training('--amp', 180),
            name='training_amp',
            title='A short training in bfloat16',
        ),
        *_all_ops('bfloat16'),
        _network('amp_bfloat16', 240),
        _network('float32', 240),
        Step(
            'network_compiled',
            'ResNet + FPN, compiled',
            'network.py --precision amp_float16 --compile',
            360,
        ),
    ]


def _untimed_steps() -> List[Step]:
    """Return checks and compilations, which run side by side."""
    dtypes = 'float32', 'float16', 'bfloat16'
    return [
        *(
            _check(f'{part}_{dtype}', f'{part}, {dtype}', part, dtype, 300)
            for part in ('operator', 'block_end')
            for dtype in dtypes
        ),
        *(_sanitizer(tool, 300) for tool in ('memcheck', 'racecheck')),
        _distributed(120),
        Step(
            'tests',
            'Tests of the operator',
            'operator_tests.py',
            300,
            takes_device=False,
            writes=False,
            timed=False,
        ),
        # Triton and PyTorch keep what they compile.
        _compilation('tiles', 'tiles.py --compile-only --jobs 6', 240),
        *(
            _compilation(f'ops_{dtype}', f'ops.py --dtype {dtype} --rounds 1')
            for dtype in dtypes
        ),
    ]


def _all_ops(*dtypes: str) -> List[Step]:
    # The compiled formula is far slower in channels-last, and not timed there.
    return [
        _ops(f'{dtype}_{layout}', dtype, layout, 180, layout == 'NCHW')
        for dtype in dtypes
        for layout in LAYOUTS
    ]


def _check(
    name: str, title: str, part: str, dtypes: str, seconds: int
) -> Step:
    return Step(
        f'check_{name}',
        f'Correctness: {title}',
        f'check_kernels.py --dtype {dtypes} --part {part} --repeats 1000',
        seconds,
        writes=False,
        timed=False,
    )


def _sanitizer(tool: str, seconds: int) -> Step:
    return Step(
        f'sanitize_{tool}',
        f'Wrong accesses: {tool}',
        f'sanitize.py --check {tool}',
        seconds,
        takes_device=False,
        writes=False,
        timed=False,
    )


def _distributed(seconds: int) -> Step:
    return Step(
        'distributed',
        'SyncBN in several processes',
        'distributed.py',
        seconds,
        writes=False,
        timed=False,
    )


def _compilation(name: str, command: str, seconds: int = 180) -> Step:
    return Step(
        f'compile_{name}',
        f'Compilation: {name}',
        command,
        seconds,
        writes=False,
        timed=False,
    )


def _training(options: str, seconds: int) -> Step:
    return Step(
        'training',
        'A short training',
        f'training.py {options}',
        seconds,
        timed=False,
    )


def _host_time(options: str, seconds: int) -> Step:
    return Step(
        'host_time',
        "The host's time of a call",
        f'host_time.py {options}',
        seconds,
        takes_device=False,
    )


def _ops(
    name: str, dtypes: str, layout: str, seconds: int, compiled: bool = True
) -> Step:
    options = '' if compiled else '--no-compile'
    return Step(
        f'ops_{name}',
        f'Operator and end of a block, {dtypes}, {layout}',
        f'ops.py --dtype {dtypes} --layout {LAYOUTS[layout]} {options}',
        seconds,
    )


def _network(precision: str, seconds: int) -> Step:
    return Step(
        f'network_{precision}',
        f'ResNet + FPN, {precision}',
        f'network.py --precision {precision} {BOTH_IN_NETWORKS}',
        seconds,
    )
