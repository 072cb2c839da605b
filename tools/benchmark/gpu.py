#!/usr/bin/env python3
"""Measure SGE on a GPU: everything, in order, in one command.

The steps are the correctness of the kernels, the fastest tiles, tables of the
operator and of the network, and a short training. Each step is a process of
its own with a time limit, so that others still run if it fails or hangs, and
what it has measured by then is kept. Steps that measure times run alone, the
others side by side. A step whose limit no longer fits the
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
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import Dict, List, Optional

import devices
import torch
from bare import has_operators
from process import SKIPPED, kill_running, run_script
from report import Row, hardware, read_rows, rows_table
from steps import Step, all_steps, small_steps

from sge_mmdet.utils.files import Writer
from sge_mmdet.utils.tables import Table

HERE = Path(__file__).resolve().parent


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


def run_step(
    step: Step, device: str, out: Path, rounds: Optional[int] = None
) -> Outcome:
    """Run a step and keep its log.

    Args:
        step (Step): The step.
        device (str): Where it runs.
        out (Path): Folder to write to.
        rounds (int, optional): How often each thing is timed. Default: as the
            step says.
    """
    script, *arguments = shlex.split(step.command)
    if step.timed and rounds is not None:
        arguments += ['--rounds', str(rounds)]
    if step.takes_device:
        arguments += ['--device', device]
    if step.writes:
        arguments += ['--out', str(out / f'{step.name}.csv'), '--overwrite']
    log = out / f'{step.name}.log'
    start = time.monotonic()
    status = run_script(HERE / script, arguments, log, step.seconds)
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
    todo: List[Step],
    out: Path,
    minutes: float,
    device: str,
    rounds: Optional[int] = None,
) -> List[Outcome]:
    """Run steps, and write the page again after each.

    Args:
        todo (list[Step]): The steps.
        out (Path): Folder to write to.
        minutes (float): Total time. A step whose limit would end later is
            skipped.
        device (str): Where they run.
        rounds (int, optional): As for :func:`run_step`.
    """
    start = time.monotonic()
    writer = Writer(overwrite=True)
    outcomes: List[Outcome] = []
    ends: Dict[str, float] = {}
    is_interrupted = threading.Event()

    def run(step: Step) -> Outcome:
        why = (
            'interrupted'
            if is_interrupted.is_set()
            else _overrun(step, time.monotonic() - start, minutes)
        )
        one = (
            Outcome(step, 'skipped', 0.0, why)
            if why
            else run_step(step, device, out, rounds)
        )
        ends[step.name] = time.monotonic() - start
        return one

    for timed, some in groupby(todo, lambda step: step.timed):
        steps = list(some)
        with ThreadPoolExecutor(1 if timed else len(steps)) as pool:
            try:
                for one in pool.map(run, steps):
                    outcomes.append(one)
                    print(_line(one, ends[one.step.name]), flush=True)
                    writer.write(
                        out / 'report.md', page(outcomes, device, out)
                    )
            except BaseException:
                # The pool would wait for what runs and for what is to come.
                is_interrupted.set()
                kill_running()
                raise
    return outcomes


def _overrun(step: Step, elapsed: float, minutes: float) -> str:
    """Return why a step does not fit the total time, or an empty text.

    Args:
        step (Step): The step.
        elapsed (float): Time since the start, in seconds.
        minutes (float): Total time.
    """
    if elapsed + step.seconds <= 60 * minutes:
        return ''
    return (
        f'its limit of {step.seconds} s does not fit the total of '
        f'{minutes:g} minutes'
    )


def _line(one: Outcome, end: float) -> str:
    """Return how a step ended, and when, in seconds after the start."""
    why = f' ({one.last})' if one.status == 'skipped' else ''
    return (
        f'{end // 60:02.0f}:{end % 60:02.0f} {one.step.title}: {one.status}, '
        f'{one.seconds:.0f} s{why}'
    )


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
    arguments = [
        out.name if argument == str(out) else argument
        for argument in sys.argv[1:]
    ]
    parts = [
        '# SGE, measured',
        environment(device).markdown(),
        f'Command: `tools/benchmark/gpu.py {shlex.join(arguments)}`',
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


def _positive(text: str) -> int:
    """Return a number of rounds."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'expected 1 or more, got {text}')
    return number


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
    parser.add_argument(
        '--rounds',
        type=_positive,
        help='how often each thing is timed. Default: 10 for tiles, 60 for '
        "the host's time, else 30",
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
    steps = small_steps() if args.small else all_steps()
    todo = [step for step in steps if step.name.startswith(tuple(args.only))]
    if not todo:
        sys.exit(
            f'error: no step begins with {" or ".join(args.only)}; there are '
            f'{", ".join(step.name for step in steps)}'
        )
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        if any(args.out.iterdir()):
            raise FileExistsError(f'{args.out} holds files; name a new folder')
        outcomes = run_steps(
            todo, args.out, args.minutes, args.device, args.rounds
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
