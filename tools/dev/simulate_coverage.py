#!/usr/bin/env python3
"""Measure how often the 95 % intervals of tools/compare.py hold the truth.

Two synthetic detectors run on a large population of images, which gives the
true difference of their APs. Then samples of it are drawn, and for each the
intervals are computed as tools/compare.py does, and by hotcoco's compare(),
which resamples images without multiplicity.
"""

import argparse
from dataclasses import replace
from typing import Dict, List, Tuple

import hotcoco
import numpy as np
from tqdm import tqdm

from sge_mmdet.evaluation import (
    Detections,
    GroundTruth,
    compare_detections,
    size_bins,
)
from sge_mmdet.evaluation.bins import with_all_sizes
from sge_mmdet.evaluation.engines import evaluate
from sge_mmdet.evaluation.hotcoco_engine import hotcoco_evaluation
from sge_mmdet.evaluation.settings import Settings
from sge_mmdet.evaluation.synthetic import (
    Skill,
    synthetic_detections,
    synthetic_ground_truth,
)

BINS = size_bins('coco')
# The figures and what hotcoco calls them.
FIGURES = {
    'AP': 'AP',
    'AP_small': 'APs',
    'AP_medium': 'APm',
    'AP_large': 'APl',
}
SKILLS = (Skill(shift=0.11, recall=0.78), Skill(shift=0.10, recall=0.80))


def sample(
    ground_truth: GroundTruth,
    detections: Tuple[Detections, ...],
    images: np.ndarray,
) -> Tuple[GroundTruth, List[Detections]]:
    """Return what belongs to some images, given by position."""
    place = np.full(len(ground_truth.image_ids), -1)
    place[images] = np.arange(len(images))

    def rows(columns: object) -> Dict[str, np.ndarray]:
        keep = place[columns.image] >= 0
        names = ('category', 'box', 'area')
        names += ('crowd',) if isinstance(columns, GroundTruth) else ('score',)
        return dict(
            {name: getattr(columns, name)[keep] for name in names},
            image=place[columns.image[keep]],
        )

    return replace(
        ground_truth,
        image_ids=ground_truth.image_ids[images],
        image_sizes=ground_truth.image_sizes[images],
        file_names=[ground_truth.file_names[i] for i in images],
        **rows(ground_truth),
    ), [replace(x, **rows(x)) for x in detections]


def hotcoco_intervals(
    ground_truth: GroundTruth,
    detections: List[Detections],
    resamples: int,
    seed: int,
) -> Dict[str, Tuple[float, float]]:
    """Return hotcoco's intervals of the figures."""
    runs = []
    for side in detections:
        run = hotcoco_evaluation(
            ground_truth,
            side,
            Settings(with_all_sizes(BINS), max_dets=(1, 10, 100)),
        )
        run.accumulate()
        runs.append(run)
    intervals = hotcoco.compare(*runs, n_bootstrap=resamples, seed=seed)['ci']
    return {
        name: (intervals[theirs]['lower'], intervals[theirs]['upper'])
        for name, theirs in FIGURES.items()
    }


def true_differences(
    ground_truth: GroundTruth, detections: Tuple[Detections, ...]
) -> Dict[str, float]:
    """Return the difference of each figure on the whole population."""
    whole = [evaluate(ground_truth, side, BINS) for side in detections]
    sizes = dict(zip(FIGURES, ('all', 'small', 'medium', 'large')))
    return {
        name: whole[1].ap(size=size) - whole[0].ap(size=size)
        for name, size in sizes.items()
    }


def held(
    true: Dict[str, float],
    ground_truth: GroundTruth,
    detections: List[Detections],
    resamples: int,
    seed: int,
) -> Dict[str, Tuple[bool, bool]]:
    """Return whether the intervals of a sample hold the true differences.

    For each figure, the interval of tools/compare.py, then hotcoco's.
    """
    ours = compare_detections(
        ground_truth,
        detections[:1],
        detections[1:],
        BINS,
        resamples=resamples,
        seed=seed,
    )
    theirs = hotcoco_intervals(ground_truth, detections, resamples, seed)
    return {
        name: (
            ours[name].low <= value <= ours[name].high,
            theirs[name][0] <= value <= theirs[name][1],
        )
        for name, value in true.items()
    }


def print_coverage(
    true: Dict[str, float], samples: List[Dict[str, Tuple[bool, bool]]]
) -> None:
    """Print how often the intervals of each figure held its difference."""
    print(
        f'{"figure":10} {"true difference":>16} {"tools/compare.py":>17} '
        f'{"hotcoco":>9}'
    )
    for name, value in true.items():
        ours, theirs = np.mean([one[name] for one in samples], axis=0)
        print(f'{name:10} {100 * value:+15.2f}  {ours:16.1%} {theirs:9.1%}')


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    numbers = dict(
        population=(20000, 'images of the population'),
        images=(300, 'images of a sample'),
        samples=(400, 'samples of the population'),
        resamples=(400, 'resamples of each interval'),
        seed=(0, 'seed of the samples'),
    )
    for name, (number, what) in numbers.items():
        parser.add_argument(
            f'--{name}',
            type=int,
            default=number,
            help=f'{what}. Default: {number}',
        )
    return parser.parse_args()


def main() -> None:
    """Print the coverage of each figure's interval."""
    args = parse_options()
    ground_truth = synthetic_ground_truth(
        args.population, 7 * args.population, 5
    )
    detections = tuple(
        synthetic_detections(ground_truth, skill, seed)
        for seed, skill in enumerate(SKILLS, start=1)
    )
    true = true_differences(ground_truth, detections)
    random = np.random.default_rng(args.seed)
    samples = []
    for i in tqdm(range(args.samples), desc='samples'):
        images = random.choice(args.population, args.images, replace=False)
        drawn = sample(ground_truth, detections, np.sort(images))
        samples.append(held(true, *drawn, args.resamples, i))
    print(
        f'{args.samples} samples of {args.images} images out of '
        f'{args.population}, {args.resamples} resamples each; standard '
        'error of a coverage of 95 %: '
        f'{100 * (0.95 * 0.05 / args.samples) ** 0.5:.1f} %'
    )
    print_coverage(true, samples)


if __name__ == '__main__':
    main()
