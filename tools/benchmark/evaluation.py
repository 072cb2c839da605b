#!/usr/bin/env python3
"""Time the evaluation of a data set of COCO val2017's size, side by side.

Synthetic ground truth and results are written to files. Then commands are run
on them, in turn and several times: a script of pycocotools that prints its
plain summary, this package's tables, the tables with all files and pictures,
and the comparison of two results. Times are those of whole processes, with the
start of Python and all imports: what somebody waits for. With --clock cpu they
are the processor's time, which tells more on a machine that has other work.
Memory is the process's peak, without that of the process that draws pictures.
--times measures larger data sets too, so that their growth can be seen,
without pycocotools.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from statistics import median
from typing import Dict, List, NamedTuple, Optional, Sequence

from options import add_numbers
from tqdm import tqdm

import sge_mmdet_cli.files_alone  # noqa: F401  (before sge_mmdet)
from sge_mmdet.evaluation.synthetic import (
    Skill,
    synthetic_detections,
    synthetic_ground_truth,
    to_coco,
)
from sge_mmdet.utils import Writer
from sge_mmdet.utils.tables import Table

TOOLS = Path(__file__).resolve().parents[1]
BINS = '0 8 16 24 32 96 inf'.split()
# As COCO's own example does.
PYCOCOTOOLS = """
import sys
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
ground_truth = COCO(sys.argv[1])
run = COCOeval(ground_truth, ground_truth.loadRes(sys.argv[2]), 'bbox')
run.evaluate()
run.accumulate()
run.summarize()
"""
# What each program does, for the page.
PROGRAMS = {
    'pycocotools': 'pycocotools, the plain summary',
    'tables': "`tools/evaluate.py`'s tables, seven sizes and all classes",
    'report': 'the same with `--out-dir`: all tables, pictures and the page',
    'comparison': '`tools/compare.py`, {:,} resamples of two results',
}


CLOCKS = dict(wall='wall time', cpu="the processor's time")


class Row(NamedTuple):
    """Medians of the runs of a program.

    Attributes:
        program: Its name.
        times: How many times as large as the options the data set was.
        clock: Which time was measured, "wall" or the processor's, "cpu".
        seconds: Time of the process.
        gigabytes: Its peak memory.
    """

    program: str
    times: int
    clock: str
    seconds: float
    gigabytes: float


def command(program: str, folder: Path, resamples: int) -> List[str]:
    """Return the command of a program on the files of a folder."""
    truth, a, b = (str(folder / f'{name}.json') for name in ('truth', *'ab'))
    if program == 'pycocotools':
        return ['-c', PYCOCOTOOLS, truth, a]
    if program == 'comparison':
        return [
            str(TOOLS / 'compare.py'),
            *(a, b, '--ground-truth', truth),
            *('--resamples', str(resamples)),
        ]
    tables = [str(TOOLS / 'evaluate.py'), truth, a, '--classwise']
    if program == 'report':
        tables += ['--out-dir', str(folder / 'report')]
    return [*tables, '--size-bins', *BINS]


def run_apart(arguments: Sequence[str]) -> Dict[str, float]:
    """Run Python with arguments; return what the process took."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, '-W', 'ignore', *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        sys.exit(f'error: {" ".join(arguments)} failed')
    return dict(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        # It is in kilobytes on Linux.
        gigabytes=usage.ru_maxrss / 1e6,
    )


def write_data(folder: Path, images: int, objects: int, boxes: int) -> None:
    """Write ground truth and two results of about so many boxes."""
    ground_truth = synthetic_ground_truth(images, objects, 80)
    false = max(0, boxes - objects) / images
    for name, seed, shift in (('a', 1, 0.11), ('b', 2, 0.10)):
        detections = synthetic_detections(
            ground_truth, Skill(shift=shift, false=false), seed
        )
        data, results = to_coco(ground_truth, detections)
        Writer().write(folder / f'{name}.json', json.dumps(results))
    Writer().write(folder / 'truth.json', json.dumps(data))


def measure(
    args: argparse.Namespace, programs: Sequence[str], times: int
) -> List[Row]:
    """Run each program in turn; return a row of medians for each.

    Args:
        args: Options of the command line.
        programs: Names of the programs.
        times: How many times as large as the options the data set is.
    """
    runs: Dict[str, List[Dict[str, float]]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print('making data ...', flush=True)
        numbers = args.images, args.objects, args.boxes
        # A process of its own: what this one takes would count as its
        # children's.
        maker = multiprocessing.Process(
            target=write_data,
            args=(folder, *(times * number for number in numbers)),
        )
        maker.start()
        maker.join()
        if maker.exitcode:
            sys.exit('error: the data could not be written')
        for program in tqdm([*programs] * args.repeat, desc='runs'):
            runs[program].append(
                run_apart(command(program, folder, args.resamples))
            )
    return [
        Row(
            program,
            times,
            args.clock,
            *(
                round(median(figure[key] for figure in figures), 3)
                for key in (args.clock, 'gigabytes')
            ),
        )
        for program, figures in runs.items()
    ]


def result_of(rows: List[Row], args: argparse.Namespace) -> dict:
    """Return the table of a page: programs, or sizes of the data set."""
    data = (
        f'{args.images:,} images, {args.objects:,} objects and '
        f'{args.boxes:,} boxes'
    )
    how = (
        f'whole commands with the start of Python, {CLOCKS[args.clock]}, '
        f'medians of {args.repeat}'
    )
    first = {row.program: row.seconds for row in reversed(rows)}
    if len(args.times) == 1:
        what = (
            f'Evaluation of synthetic data of {data}, side by side in one '
            f'run, {how}'
        )
        base = args.programs[0]
        columns = ['evaluation', f'time of {base} / its time']
        cells = [
            [
                PROGRAMS[row.program].format(args.resamples),
                f'{first[base] / row.seconds:.2g}',
                f'{row.gigabytes:.1f} GB',
            ]
            for row in rows
        ]
    else:
        what = (
            f'Growth with the size of the data, {how}; size 1 is synthetic '
            f'data of {data}, and times are relative to it'
        )
        names = [name for name in args.programs if name != 'pycocotools']
        columns = ['size', *(f'time of {name}' for name in names)]
        cells = []
        for times in args.times:
            own = {row.program: row for row in rows if row.times == times}
            cells.append(
                [
                    f'{times}',
                    *(
                        f'{own[name].seconds / first[name]:.1f}'
                        for name in names
                    ),
                    f'{max(own[name].gigabytes for name in names):.1f} GB',
                ]
            )
    return dict(
        what=what,
        command=f'tools/benchmark/evaluation.py {_given(args)}',
        date=f'{date.today()}',
        hardware=args.hardware,
        versions=args.versions,
        columns=[*columns, 'peak memory'],
        rows=cells,
    )


def _given(args: argparse.Namespace) -> str:
    """Return the options that change what is measured."""
    default = vars(parse_options([]))
    words = []
    for name, value in vars(args).items():
        if name in ('out', 'hardware', 'versions') or value == default[name]:
            continue
        values = value if isinstance(value, list) else [value]
        words.append(f'--{name} {" ".join(map(str, values))}')
    return ' '.join(words)


def parse_options(
    args: Optional[Sequence[str]] = None,
) -> argparse.Namespace:
    """Return the options of the command line, or of some arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_numbers(
        parser,
        dict(
            images=(5000, 'images of the ground truth'),
            objects=(36500, 'objects of the ground truth'),
            boxes=(500000, 'boxes of a result'),
            resamples=(1000, 'resamples of the comparison'),
            repeat=(3, 'how often each program runs'),
        ),
    )
    parser.add_argument(
        '--clock',
        choices=CLOCKS,
        default='wall',
        help="wall time or the processor's time; default: wall",
    )
    parser.add_argument(
        '--programs',
        nargs='+',
        choices=PROGRAMS,
        default=[*PROGRAMS],
        help='programs to measure; default: all',
    )
    parser.add_argument(
        '--times',
        type=int,
        nargs='+',
        default=[1],
        help='sizes of the data set, as multiples; pycocotools runs on the '
        'first only; default: 1',
    )
    parser.add_argument(
        '--out',
        type=Path,
        help='JSON file to write, as pages show it; default: none',
    )
    for name in 'hardware', 'versions':
        parser.add_argument(
            f'--{name}',
            default='not recorded',
            help=f'{name} to record in the file',
        )
    return parser.parse_args(args)


def main() -> None:
    """Measure and print the table."""
    args = parse_options()
    rows: List[Row] = []
    try:
        for times in args.times:
            programs = [
                name
                for name in args.programs
                if name != 'pycocotools' or not rows
            ]
            rows += measure(args, programs, times)
            print(f'{Table(Row._fields, rows).text()}\nmedians')
        if args.out:
            text = json.dumps(result_of(rows, args), indent=1) + '\n'
            Writer(overwrite=True).write(args.out, text)
    except OSError as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
