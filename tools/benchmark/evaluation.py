#!/usr/bin/env python3
"""Time the evaluation of a data set of COCO val2017's size, side by side.

Synthetic ground truth and results are written to files; then each program
runs in a process of its own, one after the other: pycocotools on the plain
summary, this package on all of its tables, the tables with all files and
pictures, and the comparison of two results. Each does so several times in
turn. Seconds are medians of this run on this machine, without imports; memory
is the process's peak. With --clock cpu they are the processor's time, which
tells more on a machine that has other work. --times measures larger data sets
too, so that their growth can be seen, without pycocotools.
"""

import argparse
import contextlib
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Dict, List, Sequence

import hotcoco  # noqa: F401  (imported here so that no run counts it)
from options import add_numbers
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tqdm import tqdm

from sge_mmdet.evaluation import (
    class_table,
    compare_detections,
    evaluate,
    read_detections,
    read_ground_truth,
    size_bins,
    size_table,
)
from sge_mmdet.evaluation.report import report_evaluation
from sge_mmdet.evaluation.synthetic import (
    Skill,
    synthetic_detections,
    synthetic_ground_truth,
    to_coco,
)
from sge_mmdet.utils import Writer
from sge_mmdet.utils.tables import Table

BINS = [0, 8, 16, 24, 32, 96, float('inf')]
CLOCKS = {'wall': time.perf_counter, 'cpu': time.process_time}
clock = CLOCKS['wall']


def run_pycocotools(folder: Path, resamples: int) -> Dict[str, float]:
    """Load and evaluate as COCO's own example does."""
    start = clock()
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO(str(folder / 'truth.json'))
        detections = ground_truth.loadRes(str(folder / 'a.json'))
        loaded = clock()
        run = COCOeval(ground_truth, detections, 'bbox')
        run.evaluate()
        run.accumulate()
        run.summarize()
    return dict(load=loaded - start, run=clock() - loaded)


def run_tables(folder: Path, resamples: int) -> Dict[str, float]:
    """Load and evaluate by size and class, seven sizes in all."""
    start = clock()
    ground_truth = read_ground_truth(folder / 'truth.json')
    detections = read_detections(folder / 'a.json', ground_truth)
    loaded = clock()
    result = evaluate(ground_truth, detections, size_bins(BINS))
    size_table(result).text()
    class_table(result).text()
    return dict(load=loaded - start, run=clock() - loaded)


def run_report(folder: Path, resamples: int) -> Dict[str, float]:
    """Do what ``--out-dir`` does, with all pictures but those of images."""
    start = clock()
    ground_truth = read_ground_truth(folder / 'truth.json')
    detections = read_detections(folder / 'a.json', ground_truth)
    loaded = clock()
    result = evaluate(ground_truth, detections, size_bins(BINS))
    report = report_evaluation(ground_truth, detections, result)
    with tempfile.TemporaryDirectory() as out_dir:
        report.write(out_dir)
    return dict(load=loaded - start, run=clock() - loaded)


def run_comparison(folder: Path, resamples: int) -> Dict[str, float]:
    """Load two results and compare them."""
    start = clock()
    ground_truth = read_ground_truth(folder / 'truth.json')
    a, b = (
        read_detections(folder / f'{name}.json', ground_truth) for name in 'ab'
    )
    loaded = clock()
    compare_detections(
        ground_truth, [a], [b], size_bins('coco'), resamples=resamples
    )
    return dict(load=loaded - start, run=clock() - loaded)


PROGRAMS = {
    'pycocotools': run_pycocotools,
    'tables': run_tables,
    'report': run_report,
    'comparison': run_comparison,
}


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
    args: argparse.Namespace, programs: Sequence[str], times: int = 1
) -> Dict[str, List[dict]]:
    """Run each program in turn; return what each run took.

    Args:
        args: Options of the command line.
        programs: Names of the programs.
        times: How many times as large as the options the data set is.
    """
    with tempfile.TemporaryDirectory() as folder:
        print('making data ...', flush=True)
        numbers = args.images, args.objects, args.boxes
        write_data(Path(folder), *(times * number for number in numbers))
        figures: Dict[str, List[dict]] = {name: [] for name in programs}
        for name in tqdm([*programs] * args.repeat, desc='runs'):
            figures[name].append(run_apart(name, folder, args))
    return figures


def run_apart(
    name: str, folder: str, args: argparse.Namespace
) -> Dict[str, float]:
    """Run a program in a process of its own; return what it took."""
    command = [sys.executable, '-W', 'ignore', __file__, '--program', name]
    command += ['--folder', folder, '--resamples', str(args.resamples)]
    done = subprocess.run(
        [*command, '--clock', args.clock],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def run_here(name: str, folder: Path, resamples: int) -> None:
    """Run a program in this process; print what it took as JSON."""
    figures = PROGRAMS[name](folder, resamples)
    # Kilobytes on Linux.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(dict(figures, memory=peak / 1e6)))


def medians(
    figures: Dict[str, List[dict]], args: argparse.Namespace, times: int
) -> List[Dict[str, object]]:
    """Return one row for each program."""
    rows = []
    for name, runs in figures.items():
        load, run, memory = (
            median(figure[key] for figure in runs)
            for key in ('load', 'run', 'memory')
        )
        rows.append(
            {
                'program': name,
                'times': times,
                'images': times * args.images,
                'clock': args.clock,
                'load': round(load, 3),
                'run': round(run, 3),
                'seconds': round(load + run, 3),
                'gigabytes': round(memory, 2),
            }
        )
    return rows


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
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
        '--out', type=Path, help='CSV file to write; default: none'
    )
    parser.add_argument(
        '--program',
        choices=PROGRAMS,
        help='run one of the programs on --folder; this script calls itself '
        'with it',
    )
    parser.add_argument(
        '--folder', type=Path, help='data that --program evaluates'
    )
    return parser.parse_args()


def main() -> None:
    """Measure and print the table."""
    global clock
    args = parse_options()
    clock = CLOCKS[args.clock]
    if args.program:
        run_here(args.program, args.folder, args.resamples)
        return
    rows: List[Dict[str, object]] = []
    try:
        for times in args.times:
            programs = [
                name
                for name in args.programs
                if name != 'pycocotools' or not rows
            ]
            rows += medians(measure(args, programs, times), args, times)
            table = Table([*rows[0]], [[*row.values()] for row in rows])
            print(f'{table.text()}\nmedians of {args.repeat}')
        if args.out:
            Writer().write(args.out, table.csv())
    except OSError as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
