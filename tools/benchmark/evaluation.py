#!/usr/bin/env python3
"""Time the evaluation of a data set of COCO val2017's size, side by side.

Synthetic ground truth and results are written to files; then each program
runs in a process of its own, one after the other: pycocotools on the plain
summary, this package on all of its tables, and the comparison of two results.
Each does so several times in turn. Seconds are medians of this run on this
machine, without imports; memory is the process's peak.
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
from typing import Dict, List

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
from sge_mmdet.evaluation.synthetic import (
    Skill,
    synthetic_detections,
    synthetic_ground_truth,
    to_coco,
)
from sge_mmdet.utils import Writer

BINS = [0, 8, 16, 24, 32, 96, float('inf')]


def run_pycocotools(folder: Path, resamples: int) -> Dict[str, float]:
    """Load and evaluate as COCO's own example does."""
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO(str(folder / 'truth.json'))
        detections = ground_truth.loadRes(str(folder / 'a.json'))
        loaded = time.perf_counter()
        run = COCOeval(ground_truth, detections, 'bbox')
        run.evaluate()
        run.accumulate()
        run.summarize()
    return dict(load=loaded - start, run=time.perf_counter() - loaded)


def run_tables(folder: Path, resamples: int) -> Dict[str, float]:
    """Load and evaluate by size and class, seven sizes in all."""
    start = time.perf_counter()
    ground_truth = read_ground_truth(folder / 'truth.json')
    detections = read_detections(folder / 'a.json', ground_truth)
    loaded = time.perf_counter()
    result = evaluate(ground_truth, detections, size_bins(BINS))
    size_table(result).text()
    class_table(result).text()
    return dict(load=loaded - start, run=time.perf_counter() - loaded)


def run_comparison(folder: Path, resamples: int) -> Dict[str, float]:
    """Load two results and compare them."""
    start = time.perf_counter()
    ground_truth = read_ground_truth(folder / 'truth.json')
    a, b = (
        read_detections(folder / f'{name}.json', ground_truth) for name in 'ab'
    )
    loaded = time.perf_counter()
    compare_detections(
        ground_truth, [a], [b], size_bins('coco'), resamples=resamples
    )
    return dict(load=loaded - start, run=time.perf_counter() - loaded)


PROGRAMS = {
    'pycocotools': run_pycocotools,
    'tables': run_tables,
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


def measure(args: argparse.Namespace) -> Dict[str, List[dict]]:
    """Run each program in turn; return what each run took."""
    with tempfile.TemporaryDirectory() as folder:
        print('making data ...', flush=True)
        write_data(Path(folder), args.images, args.objects, args.boxes)
        figures: Dict[str, List[dict]] = {name: [] for name in PROGRAMS}
        for name in tqdm([*PROGRAMS] * args.repeat, desc='runs'):
            figures[name].append(run_apart(name, folder, args.resamples))
    return figures


def run_apart(name: str, folder: str, resamples: int) -> Dict[str, float]:
    """Run a program in a process of its own; return what it took."""
    command = [sys.executable, '-W', 'ignore', __file__, '--program', name]
    command += ['--folder', folder, '--resamples', str(resamples)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def run_here(name: str, folder: Path, resamples: int) -> None:
    """Run a program in this process; print what it took as JSON."""
    figures = PROGRAMS[name](folder, resamples)
    # Kilobytes on Linux.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(dict(figures, memory=peak / 1e6)))


def print_medians(figures: Dict[str, List[dict]], repeat: int) -> None:
    """Print the table."""
    print(
        f'medians of {repeat} runs\n{"program":14} {"load s":>8} '
        f'{"run s":>8} {"GB":>6} {"pycocotools / it":>17}'
    )
    first = None
    for name, runs in figures.items():
        load, run, memory = (
            median(figure[key] for figure in runs)
            for key in ('load', 'run', 'memory')
        )
        first = first or load + run
        print(
            f'{name:14} {load:8.2f} {run:8.2f} {memory:6.2f} '
            f'{first / (load + run):16.1f}x'
        )


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
    args = parse_options()
    if args.program:
        run_here(args.program, args.folder, args.resamples)
        return
    try:
        figures = measure(args)
    except OSError as error:
        sys.exit(f'error: {error}')
    print_medians(figures, args.repeat)


if __name__ == '__main__':
    main()
