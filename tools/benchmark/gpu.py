#!/usr/bin/env python3
"""Measure SGE on a GPU: everything, in order, in one command.

The steps are the correctness of the kernels, the best tiles, tables of the
operator and of the network, and a short training. Each step is a process of
its own with a time limit, so that others still run if it fails or hangs, and
what it has measured by then is kept. A step whose limit no longer fits the
total time is skipped, and the page says so; --only runs it later. OUT gets CSV
files, pictures, a log of each step, and one page, report.md. With --small, all
steps run with small sizes, on a CPU as well.
"""

import argparse
import csv
import platform
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Dict, List, Optional

import devices
import torch
from bare import has_operators
from process import SKIPPED, run_script
from report import Row, hardware, read_rows, rows_table

from sge_mmdet.utils.files import Writer
from sge_mmdet.utils.tables import Table

HERE = Path(__file__).resolve().parent
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


def run_step(step: Step, device: str, out: Path) -> Outcome:
    """Run a step and keep its log.

    Args:
        step (Step): The step.
        device (str): Where it runs.
        out (Path): Folder to write to.
    """
    script, *arguments = shlex.split(step.command)
    if step.takes_device:
        arguments += ['--device', device]
    if step.writes:
        arguments += ['--out', str(out / f'{step.name}.csv'), '--overwrite']
    log = out / f'{step.name}.log'
    start = time.monotonic()
    status = run_script(HERE / script, arguments, log, step.seconds, step.env)
    words = {0: 'done', SKIPPED: 'skipped', None: 'timed out'}
    return Outcome(
        step,
        words.get(status, 'failed'),
        time.monotonic() - start,
        _last_line(log),
    )


def _last_line(log: Path) -> str:
    """Return the last line of a log that is not empty, if there is one."""
    if not log.exists():
        return ''
    lines = filter(str.strip, log.read_text(errors='replace').splitlines())
    # A bar of progress writes its line over and over.
    return ['', *lines][-1].rpartition('\r')[2]


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
    outcomes: List[Outcome] = []
    for step in todo:
        passed = time.monotonic() - start
        clock = f'{passed // 60:02.0f}:{passed % 60:02.0f}'
        print(f'{clock} {step.title} ...', end=' ', flush=True)
        if passed + step.seconds > 60 * minutes:
            why = (
                f'its limit of {step.seconds} s does not fit the total of '
                f'{minutes:g} minutes'
            )
            one = Outcome(step, 'skipped', 0.0, why)
        else:
            one = run_step(step, device, out)
        outcomes.append(one)
        why = f' ({one.last})' if one.status == 'skipped' else ''
        print(f'{one.status}, {one.seconds:.0f} s{why}', flush=True)
        writer.write(out / 'report.md', page(outcomes, device, out))
    return outcomes


def environment(device: str) -> Table:
    """Return a table of the hardware and the versions.

    Args:
        device (str): Where the steps run.
    """
    rows = [
        ['device', hardware(device)],
        ['torch', torch.__version__],
        ['CUDA of torch', str(torch.version.cuda)],
        ['Python', platform.python_version()],
        ['Triton', _triton_version()],
        ['operators of mmcv', 'there' if has_operators() else 'missing'],
    ]
    if not devices.is_cpu(device):
        rows.append(['nvidia-smi', _nvidia_smi()])
    return Table(['what', 'is'], rows)


def _triton_version() -> str:
    try:
        return version('triton')
    except PackageNotFoundError:
        return 'missing'


def _nvidia_smi() -> str:
    """Return the GPU's name, driver, clock, power limit and partitioning."""
    fields = 'name,driver_version,clocks.max.sm,power.limit,mig.mode.current'
    try:
        listed = subprocess.run(
            ['nvidia-smi', f'--query-gpu={fields}', '--format=csv,noheader'],
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 'missing'
    return listed.stdout.strip()


def page(outcomes: List[Outcome], device: str, out: Path) -> str:
    """Return the page: how each step ended, and every table.

    Args:
        outcomes (list[Outcome]): Outcomes of the steps so far.
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
    tables: Dict[tuple, List[Row]] = {}
    with data.open(newline='') as file:
        names = next(csv.reader(file))
    if 'clock' in names:
        for row in read_rows(data):
            tables.setdefault(tuple(row.case.values()), []).append(row)
    parts = [rows_table(rows, device).markdown() for rows in tables.values()]
    if data.with_suffix('.png').is_file():
        parts.insert(0, f'![{step.title}]({step.name}.png)')
    return '\n\n'.join(parts)


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path, help='new folder to write to')
    devices.add_device_option(parser)
    parser.add_argument(
        '--small',
        action='store_true',
        help='run all steps with small sizes, to see whether they work',
    )
    parser.add_argument(
        '--only',
        nargs='+',
        default=[''],
        metavar='STEP',
        help='run only steps whose names begin with one of these',
    )
    parser.add_argument(
        '--minutes',
        type=float,
        default=29,
        help='total time; a step whose limit is longer than what is left of '
        'it is skipped. Default: 29',
    )
    args = parser.parse_args()
    if devices.is_cpu(args.device) and not args.small:
        sys.exit(
            'error: the device is a CPU; say --small to run all steps there '
            'with small sizes'
        )
    return args


def main() -> None:
    """Run the steps; exit with 1 if one failed or timed out."""
    args = parse_options()
    if devices.is_cpu(args.device):
        devices.use_cpu_alone()
    todo = [
        step
        for step in (small_steps() if args.small else all_steps())
        if step.name.startswith(tuple(args.only))
    ]
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        if any(args.out.iterdir()):
            raise FileExistsError(f'{args.out} holds files; name a new folder')
        outcomes = run_steps(todo, args.out, args.minutes, args.device)
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
