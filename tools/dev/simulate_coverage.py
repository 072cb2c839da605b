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


def main() -> None:
    """Print the coverage of each figure's interval."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--population', type=int, default=20000)
    parser.add_argument('--images', type=int, default=300, help='in a sample')
    parser.add_argument('--samples', type=int, default=400)
    parser.add_argument('--resamples', type=int, default=400)
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    ground_truth = synthetic_ground_truth(
        args.population, 7 * args.population, 5
    )
    detections = tuple(
        synthetic_detections(ground_truth, skill, seed)
        for seed, skill in enumerate(SKILLS, start=1)
    )
    whole = [evaluate(ground_truth, side, BINS) for side in detections]
    sizes = dict(zip(FIGURES, ('all', 'small', 'medium', 'large')))
    true = {
        name: whole[1].ap(size=size) - whole[0].ap(size=size)
        for name, size in sizes.items()
    }
    random = np.random.default_rng(args.seed)
    ours: Dict[str, list] = {name: [] for name in FIGURES}
    theirs: Dict[str, list] = {name: [] for name in FIGURES}
    for i in tqdm(range(args.samples), desc='samples'):
        part, sides = sample(
            ground_truth,
            detections,
            np.sort(
                random.choice(args.population, args.images, replace=False)
            ),
        )
        result = compare_detections(
            part, sides[:1], sides[1:], BINS, resamples=args.resamples, seed=i
        )
        other = hotcoco_intervals(part, sides, args.resamples, i)
        for name, value in true.items():
            row = result[name]
            ours[name].append(row.low <= value <= row.high)
            theirs[name].append(other[name][0] <= value <= other[name][1])
    print(
        f'{args.samples} samples of {args.images} images out of '
        f'{args.population}, {args.resamples} resamples each; standard '
        'error of a coverage of 95 %: '
        f'{100 * (0.95 * 0.05 / args.samples) ** 0.5:.1f} %'
    )
    print(
        f'{"figure":10} {"true difference":>16} {"tools/compare.py":>17} '
        f'{"hotcoco":>9}'
    )
    for name, value in true.items():
        print(
            f'{name:10} {100 * value:+15.2f}  {np.mean(ours[name]):16.1%} '
            f'{np.mean(theirs[name]):9.1%}'
        )


if __name__ == '__main__':
    main()
