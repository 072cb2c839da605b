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
        figures = {name: [] for name in PROGRAMS}
        for name in tqdm([*PROGRAMS] * args.repeat, desc='runs'):
            done = subprocess.run(
                [
                    sys.executable,
                    '-W',
                    'ignore',
                    __file__,
                    '--program',
                    name,
                    '--folder',
                    folder,
                    '--resamples',
                    str(args.resamples),
                ],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            figures[name].append(json.loads(done.stdout.splitlines()[-1]))
    return figures


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--images', type=int, default=5000)
    parser.add_argument('--objects', type=int, default=36500)
    parser.add_argument('--boxes', type=int, default=500000)
    parser.add_argument('--resamples', type=int, default=1000)
    parser.add_argument('--repeat', type=int, default=3)
    parser.add_argument(
        '--program',
        choices=PROGRAMS,
        help='run one of them on --folder, for this script',
    )
    parser.add_argument('--folder', type=Path)
    args = parser.parse_args()
    if args.program:
        figures = PROGRAMS[args.program](args.folder, args.resamples)
        # Kilobytes on Linux.
        figures['memory'] = (
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        )
        print(json.dumps(figures))
        return
    try:
        figures = measure(args)
    except OSError as error:
        sys.exit(f'error: {error}')
    print(
        f'medians of {args.repeat} runs\n{"program":14} {"load s":>8} '
        f'{"run s":>8} {"GB":>6} {"pycocotools / it":>17}'
    )
    slowest = None
    for name, runs in figures.items():
        load, run, memory = (
            median(figure[key] for figure in runs)
            for key in ('load', 'run', 'memory')
        )
        slowest = slowest or load + run
        print(
            f'{name:14} {load:8.2f} {run:8.2f} {memory:6.2f} '
            f'{slowest / (load + run):16.1f}x'
        )


if __name__ == '__main__':
    main()
