"""Steps of a measurement on a GPU, in the order in which they run."""

from dataclasses import dataclass, field, replace
from typing import Dict, List

# Programs of the forward pass wait for each other.
WAITING = dict(SGE_MMDET_TRITON_WAIT='1')
# Options of more than one step.
BOTH_LAYOUTS = '--layout contiguous_format channels_last'
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
        env: Environment variables that it runs with.
    """

    name: str
    title: str
    command: str
    seconds: int
    takes_device: bool = True
    writes: bool = True
    env: Dict[str, str] = field(default_factory=dict)


def small_steps() -> List[Step]:
    """Return steps that run every script once, with small sizes."""
    return [
        Step(
            'check',
            'Correctness of the kernels',
            'check_kernels.py --sizes tiny --repeats 2 --backend triton',
            300,
            writes=False,
        ),
        _sanitizer(300),
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
        Step(
            'training',
            'A short training',
            'training.py --iterations 2 --size 64 --images 1 --depth 18',
            300,
        ),
    ]


def all_steps() -> List[Step]:
    """Return all that is measured on a GPU, the most important first."""
    return [
        *(
            _check(f'{part}_{dtype}', f'{part}, {dtype}', part, dtype, 180)
            for part in ('operator', 'block_end')
            for dtype in ('float32', 'float16', 'bfloat16')
        ),
        _sanitizer(240),
        Step('tiles', 'Tiles', 'tiles.py', 240),
        _host_time('', 60),
        _ops('float32', 'float32', '', 480),
        _ops('float16', 'float16', '', 480),
        _network('amp_float16', 360),
        _network('tf32', 360),
        Step('training', 'A short training', 'training.py', 180),
        *waiting_steps(),
        _ops('bfloat16', 'bfloat16', '--no-compile', 300),
        _network('amp_bfloat16', 360),
        _network('float32', 360),
        Step(
            'network_compiled',
            'ResNet + FPN, compiled',
            'network.py --precision amp_float16 --layout NHWC --compile',
            480,
        ),
        Step(
            'training_amp',
            'A short training in bfloat16',
            'training.py --amp',
            180,
        ),
    ]


def waiting_steps() -> List[Step]:
    """Return the steps in which programs wait for each other."""
    dtypes = 'float32 float16'
    return [
        replace(
            _check('waiting', 'programs that wait', 'block_end', dtypes, 240),
            env=WAITING,
        ),
        replace(
            _ops('waiting', dtypes, '--no-compile', 300),
            title='Operator and end of a block, programs that wait',
            env=WAITING,
        ),
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
    )


def _sanitizer(seconds: int) -> Step:
    return Step(
        'sanitize',
        'Wrong accesses',
        'sanitize.py',
        seconds,
        takes_device=False,
        writes=False,
    )


def _host_time(options: str, seconds: int) -> Step:
    return Step(
        'host_time',
        "Python's time of a call",
        f'host_time.py {options}',
        seconds,
        takes_device=False,
    )


def _ops(name: str, dtypes: str, options: str, seconds: int) -> Step:
    return Step(
        f'ops_{name}',
        f'Operator and end of a block, {dtypes}',
        f'ops.py --dtype {dtypes} {BOTH_LAYOUTS} {options}',
        seconds,
    )


def _network(precision: str, seconds: int) -> Step:
    return Step(
        f'network_{precision}',
        f'ResNet + FPN, {precision}',
        f'network.py --precision {precision} {BOTH_IN_NETWORKS}',
        seconds,
    )
