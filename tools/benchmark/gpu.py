#!/usr/bin/env python3
"""Measure SGE on a GPU: everything, in order, in one command.

Correctness of the kernels, the best tiles, tables of the operator and of the
network, a short training. Every step is a process of its own with a time
limit, so that a step that fails or hangs costs no other; what was measured by
then is kept. A step whose limit no longer fits the total time is skipped, and
the page says so; --only runs it later. OUT gets CSV, pictures, a log of each
step, and one page, report.md. On a machine without a GPU, --small goes through
all steps on the CPU.
"""

import argparse
import csv
import platform
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import torch
from bare import has_operators
from process import SKIPPED, run_script
from report import hardware, read_rows, rows_table

from sge_mmdet.utils.files import Writer
from sge_mmdet.utils.tables import Table

HERE = Path(__file__).resolve().parent
DTYPES = ('float32', 'float16', 'bfloat16')
LAYOUTS = ('contiguous_format', 'channels_last')
# Programs of the forward pass wait for each other.
WAITING = dict(SGE_MMDET_TRITON_WAIT='1')


@dataclass(frozen=True)
class Step:
    """A process with a time limit.

    Attributes:
        name: Of its log, its CSV and its section.
        title: Of its section.
        script: Beside this one.
        arguments: Of the script.
        seconds: Time limit.
        writes: Whether it writes a CSV and a picture.
        env: Environment variables it runs with.
    """

    name: str
    title: str
    script: str
    arguments: Sequence[str]
    seconds: int
    writes: bool = True
    env: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a step ended.

    Attributes:
        step: The step.
        status: "done", "failed", "timed out" or "skipped".
        seconds: How long it took.
        last: Last line of its log, or why it was skipped.
    """

    step: Step
    status: str
    seconds: float
    last: str


def steps(device: str, small: bool) -> List[Step]:
    """Return what is done, in order.

    Args:
        device (str): Where.
        small (bool): Whether to go through every script once, with small
            sizes.
    """
    on = ['--device', device]
    if small:
        few = [*on, '--rounds', '1']
        tiny = ['--size', '64', '96', '--images', '1', '--depth', '18']
        train = [
            *on,
            '--iterations',
            '2',
            '--size',
            '64',
            '--images',
            '1',
            '--depth',
            '18',
        ]
        return [
            Step(
                'check',
                'Correctness of the kernels',
                'check_kernels.py',
                [*on, '--small', '--repeats', '2'],
                300,
                False,
            ),
            Step('sanitize', 'Wrong accesses', 'sanitize.py', [], 300, False),
            Step(
                'tiles',
                'Tiles',
                'tiles.py',
                [*few, '--small', '--jobs', '1'],
                300,
            ),
            Step(
                'ops',
                'Operator and end of a block',
                'ops.py',
                [
                    *few,
                    '--dtype',
                    *DTYPES,
                    '--layout',
                    *LAYOUTS,
                    '--shape',
                    '1x64x12x20',
                    '--no-compile',
                ],
                300,
            ),
            Step(
                'host_time',
                "Python's time of a call",
                'host_time.py',
                ['--rounds', '1'],
                300,
            ),
            Step('network', 'ResNet + FPN', 'network.py', [*few, *tiny], 300),
            Step('training', 'A short training', 'training.py', train, 300),
        ]
    layouts = ['--layout', 'NCHW', 'NHWC']
    return [
        *(
            Step(
                f'check_{part}_{dtype}',
                f'Correctness: {part}, {dtype}',
                'check_kernels.py',
                [*on, '--dtype', dtype, '--part', part, '--repeats', '1000'],
                180,
                False,
            )
            for part in ('operator', 'block_end')
            for dtype in DTYPES
        ),
        Step('sanitize', 'Wrong accesses', 'sanitize.py', [], 240, False),
        Step('tiles', 'Tiles', 'tiles.py', on, 240),
        Step('host_time', "Python's time of a call", 'host_time.py', [], 60),
        *(
            Step(
                f'ops_{dtype}',
                f'Operator and end of a block, {dtype}',
                'ops.py',
                [*on, '--dtype', dtype, '--layout', *LAYOUTS],
                480,
            )
            for dtype in ('float32', 'float16')
        ),
        *(
            _network_step(precision, [*on, *layouts], 360)
            for precision in ('amp_float16', 'tf32')
        ),
        Step('training', 'A short training', 'training.py', on, 180),
        Step(
            'check_waiting',
            'Correctness: programs that wait',
            'check_kernels.py',
            [
                *on,
                '--dtype',
                'float32',
                'float16',
                '--part',
                'block_end',
                '--repeats',
                '1000',
            ],
            240,
            False,
            WAITING,
        ),
        Step(
            'ops_waiting',
            'Operator and end of a block, programs that wait',
            'ops.py',
            [
                *on,
                '--dtype',
                'float32',
                'float16',
                '--layout',
                *LAYOUTS,
                '--no-compile',
            ],
            300,
            env=WAITING,
        ),
        Step(
            'ops_bfloat16',
            'Operator and end of a block, bfloat16',
            'ops.py',
            [*on, '--dtype', 'bfloat16', '--layout', *LAYOUTS, '--no-compile'],
            300,
        ),
        *(
            _network_step(precision, [*on, *layouts], 360)
            for precision in ('amp_bfloat16', 'float32')
        ),
        Step(
            'network_compiled',
            'ResNet + FPN, compiled',
            'network.py',
            [
                *on,
                '--precision',
                'amp_float16',
                '--layout',
                'NHWC',
                '--compile',
            ],
            480,
        ),
        Step(
            'training_amp',
            'A short training in bfloat16',
            'training.py',
            [*on, '--amp'],
            180,
        ),
    ]


def _network_step(precision: str, arguments: List[str], seconds: int) -> Step:
    return Step(
        f'network_{precision}',
        f'ResNet + FPN, {precision}',
        'network.py',
        ['--precision', precision, *arguments],
        seconds,
    )


def run_step(step: Step, out: Path) -> Outcome:
    """Run a step and keep its log.

    Args:
        step (Step): The step.
        out (Path): Folder to write to.
    """
    arguments = [*step.arguments]
    if step.writes:
        arguments += ['--out', str(out / f'{step.name}.csv'), '--overwrite']
    log = out / f'{step.name}.log'
    start = time.monotonic()
    status = run_script(
        HERE / step.script, arguments, log, step.seconds, step.env
    )
    lines = (
        [
            line
            for line in log.read_text(errors='replace').splitlines()
            if line.strip()
        ]
        if log.exists()
        else []
    )
    last = lines[-1].rpartition('\r')[2] if lines else ''
    words = {0: 'done', SKIPPED: 'skipped', None: 'timed out'}
    return Outcome(
        step, words.get(status, 'failed'), time.monotonic() - start, last
    )


def run_steps(
    todo: List[Step], out: Path, minutes: float, device: str
) -> List[Outcome]:
    """Run steps one after the other, and write the page after each.

    Args:
        todo (list[Step]): The steps.
        out (Path): Folder to write to.
        minutes (float): Total time. A step whose limit would end later is
            skipped.
        device (str): Where they run.
    """
    start = time.monotonic()
    writer = Writer(overwrite=True)
    outcomes = []
    for step in todo:
        passed = time.monotonic() - start
        print(
            f'{passed // 60:02.0f}:{passed % 60:02.0f} {step.title} ...',
            end=' ',
            flush=True,
        )
        if passed + step.seconds > 60 * minutes:
            one = Outcome(
                step,
                'skipped',
                0.0,
                f'its limit of {step.seconds} s'
                f' does not fit the total of {minutes:g} minutes',
            )
        else:
            one = run_step(step, out)
        outcomes.append(one)
        print(
            f'{one.status}, {one.seconds:.0f} s'
            + f' ({one.last})' * (one.status == 'skipped'),
            flush=True,
        )
        writer.write(out / 'report.md', page(outcomes, device, out))
    return outcomes


def environment(device: str) -> Table:
    """Return a table of what is measured on.

    Args:
        device (str): The device.
    """
    rows = [
        ['device', hardware(device)],
        ['torch', torch.__version__],
        ['CUDA of torch', str(torch.version.cuda)],
        ['Python', platform.python_version()],
    ]
    try:
        import triton

        rows.append(['Triton', triton.__version__])
    except ImportError:
        rows.append(['Triton', 'missing'])
    rows.append(
        ['operators of mmcv', 'there' if has_operators() else 'missing']
    )
    try:
        listed = subprocess.run(
            [
                'nvidia-smi',
                '--query-gpu=name,driver_version,clocks.max.sm,'
                'power.limit,mig.mode.current',
                '--format=csv,noheader',
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        rows.append(['nvidia-smi', listed.stdout.strip()])
    except (OSError, subprocess.TimeoutExpired):
        rows.append(['nvidia-smi', 'missing'])
    return Table(['what', 'is'], rows)


def page(outcomes: List[Outcome], device: str, out: Path) -> str:
    """Return the page: how each step ended, and every table.

    Args:
        outcomes (list[Outcome]): Of the steps so far.
        device (str): Where they ran.
        out (Path): Folder with their files.
    """
    parts = [
        '# SGE, measured',
        environment(device).markdown(),
        f'Command: `tools/benchmark/gpu.py {out.name} --device {device}`',
        Table(
            ['step', 'status', 'seconds', 'last line'],
            [
                [
                    one.step.title,
                    one.status,
                    f'{one.seconds:.0f}',
                    one.last[:120],
                ]
                for one in outcomes
            ],
        ).markdown(),
    ]
    for one in outcomes:
        section = _section(one.step, device, out)
        if section:
            parts += [f'## {one.step.title}', section]
    return '\n\n'.join(parts) + '\n'


def _section(step: Step, device: str, out: Path) -> Optional[str]:
    data = out / f'{step.name}.csv'
    if not step.writes or not data.is_file():
        return None
    picture = f'![{step.title}]({step.name}.png)'
    with data.open(newline='') as file:
        names = next(csv.reader(file))
    if 'clock' not in names:
        return picture
    tables = {}
    for row in read_rows(data):
        tables.setdefault(tuple(row.case.values()), []).append(row)
    return '\n\n'.join(
        [
            picture,
            *(rows_table(rows, device).markdown() for rows in tables.values()),
        ]
    )


def main() -> None:
    """Run the steps; exit with 1 if one did not end well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu'
    )
    parser.add_argument(
        '--small',
        action='store_true',
        help='small sizes: does everything run?',
    )
    parser.add_argument(
        '--only',
        nargs='+',
        default=[],
        metavar='STEP',
        help='steps whose names begin so',
    )
    parser.add_argument(
        '--minutes',
        type=float,
        default=29,
        help='total time;'
        ' steps that may take longer than what is left of it '
        'are skipped',
    )
    args = parser.parse_args()
    if torch.device(args.device).type == 'cpu' and not args.small:
        sys.exit(
            'error: there is no GPU; say --small to go through all '
            'steps on the CPU with small sizes'
        )
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        if any(args.out.iterdir()):
            raise FileExistsError(f'{args.out} holds files; name a new folder')
        outcomes = run_steps(
            [
                step
                for step in steps(args.device, args.small)
                if not args.only or step.name.startswith(tuple(args.only))
            ],
            args.out,
            args.minutes,
            args.device,
        )
    except OSError as error:
        sys.exit(f'error: {error}')
    failed = [
        one.step.name
        for one in outcomes
        if one.status in ('failed', 'timed out')
    ]
    if failed:
        sys.exit(
            f'error: {", ".join(failed)} did not end well; see the logs '
            f'in {args.out}'
        )
    print(f'{args.out / "report.md"} has all tables')


if __name__ == '__main__':
    main()
