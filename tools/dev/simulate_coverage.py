#!/usr/bin/env python3
"""Measure how often the 95 % intervals of tools/compare.py hold the truth.

Synthetic detectors run on a large population of images, which gives the true
differences of their APs. Samples of the population are compared as
tools/compare.py does: equal detectors, detectors three points apart, strongly
paired ones, ties in scores, and scenes with several images. Several training
seeds are simulated by figures with known effects of seeds and images.

``--samples 1000`` is what the intervals should be judged by; it takes hours.
``--out docs/results/coverage.json`` stores the result, and ``make figures``
renders it.
"""

import argparse
import json
import os
from collections import defaultdict
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np
from tqdm import tqdm

from sge_mmdet.evaluation import (
    Comparison,
    Detections,
    Difference,
    GroundTruth,
    ResampledFigures,
    compare_figures,
    size_bins,
)
from sge_mmdet.evaluation.bins import with_all_sizes
from sge_mmdet.evaluation.bootstrap import resample_weights
from sge_mmdet.evaluation.intervals import Interval, crossed_interval
from sge_mmdet.evaluation.matching import Matches, match
from sge_mmdet.evaluation.resampled_figures import figures_of_matches
from sge_mmdet.evaluation.synthetic import (
    Skill,
    synthetic_detections,
    synthetic_ground_truth,
)
from sge_mmdet.utils.tables import points

# Medium objects are left out, since they tell no more than the others.
BINS = with_all_sizes([size_bins('coco')[0], size_bins('coco')[-1]])
SIZES = ('small', 'large')
CLASSES = 6
OBJECTS_PER_IMAGE = 4
IMAGES_PER_SCENE = 5
RAREST = f'AP of class {CLASSES}'
# Detectors of each setting, and the numbers of images it is simulated with.
EQUAL, APART = 'equal detectors', '3 points apart'
PAIRED, TIED = 'strongly paired', 'ties in scores'
PAIRS = {
    EQUAL: ('A', 'B'),
    APART: ('A', 'better'),
    PAIRED: ('base 1', 'base 2'),
    TIED: ('A tied', 'B tied'),
}
PLAN = {
    20: (EQUAL, APART, PAIRED),
    50: (EQUAL, APART, TIED),
    200: (EQUAL, APART, PAIRED),
    500: (EQUAL, APART),
}
BY_SCENE, BY_IMAGE = 'scenes, resampled as wholes', 'scenes, image by image'
SCENES = (20, 40)
SEEDS = (2, 3, 5, 20)
SEEDS_IMAGES = 100
COLUMNS = (
    'setting',
    'images',
    'figure',
    'true difference',
    'intervals given',
    'held',
    'held by the plain percentile',
    'p < 0.05',
    'adjusted p < 0.05',
)


class Outcome(NamedTuple):
    """The result of a row of one comparison beside the truth.

    Attributes:
        true: True difference.
        is_told: Whether there is an interval.
        holds: Whether it holds the true difference.
        plain_holds: Whether the plain percentile interval does.
        is_found: Whether p < 0.05.
        is_clear: Whether the adjusted p < 0.05.
    """

    true: float
    is_told: bool
    holds: bool = False
    plain_holds: bool = False
    is_found: bool = False
    is_clear: bool = False


Outcomes = Dict[Tuple[str, int, str], List[Outcome]]


def detectors(ground_truth: GroundTruth) -> Dict[str, Detections]:
    """Return the results of all detectors on the population."""
    skill, better = Skill(0.105, 0.79), Skill(0.098, 0.84)
    results = {
        name: synthetic_detections(ground_truth, skill, seed)
        for seed, name in enumerate(('A', 'B', 'base'), start=1)
    }
    results['better'] = synthetic_detections(ground_truth, better, 4)
    base = results.pop('base')
    for seed in (1, 2):
        results[f'base {seed}'] = jittered(base, seed)
    for name in 'AB':
        one = results[name]
        results[f'{name} tied'] = replace(one, score=one.score.round(1))
    return results


def jittered(detections: Detections, seed: int) -> Detections:
    """Return a result whose boxes and scores differ a little."""
    random = np.random.default_rng(seed)
    box = detections.box.copy()
    box[:, :2] += 0.03 * box[:, 2:] * random.normal(size=(len(box), 2))
    score = detections.score * np.exp(0.1 * random.normal(size=len(box)))
    return replace(detections, box=box, score=score)


def scene_detectors(
    ground_truth: GroundTruth, scenes: np.ndarray
) -> Dict[str, Detections]:
    """Return two detectors that each fail in other scenes.

    Args:
        ground_truth (GroundTruth): The population.
        scenes (np.ndarray): Index of each image's scene.
    """
    results = {}
    for seed, name in enumerate('AB', start=10):
        random = np.random.default_rng(seed)
        is_hard = (random.random(scenes.max() + 1) < 0.5)[scenes]
        parts = [
            synthetic_detections(ground_truth, skill, seed + 10 * i)
            for i, skill in enumerate((Skill(0.08, 0.9), Skill(0.15, 0.5)))
        ]
        keeps = [
            is_hard[part.image] == bool(i) for i, part in enumerate(parts)
        ]
        results[name] = Detections(
            *(
                np.concatenate(
                    [getattr(p, field)[k] for p, k in zip(parts, keeps)]
                )
                for field in ('image', 'category', 'box', 'score', 'area')
            )
        )
    return results


def matches_of(matches: Matches, images: np.ndarray) -> Matches:
    """Return the matches in some images, given by ascending position."""
    place = np.full(matches.objects.shape[1], -1)
    place[images] = np.arange(len(images))
    keep = place[matches.image] >= 0
    fields = ('category', 'score', 'index', 'status', 'partner', 'inside')
    return Matches(
        image=place[matches.image[keep]],
        objects=matches.objects[:, images],
        **{name: getattr(matches, name)[keep] for name in fields},
    )


class Population:
    """A population of images with the results of detectors.

    Args:
        images (int): Number of images.
        has_scenes (bool): Whether images come from scenes.
    """

    def __init__(self, images: int, has_scenes: bool = False) -> None:
        truth = synthetic_ground_truth(
            images, OBJECTS_PER_IMAGE * images, CLASSES, int(has_scenes)
        )
        self.categories = truth.category_names
        self.scenes = np.arange(images) // IMAGES_PER_SCENE
        results = (
            scene_detectors(truth, self.scenes)
            if has_scenes
            else detectors(truth)
        )
        self.matches = {
            name: match(truth, one, BINS) for name, one in results.items()
        }
        whole = np.ones((1, images), int)
        self.figures = {
            name: values(self.compute(one, whole))
            for name, one in self.matches.items()
        }

    def compute(
        self,
        matches: Matches,
        weights: np.ndarray,
        groups: Optional[np.ndarray] = None,
    ) -> ResampledFigures:
        """Return the figures of matches with weighted images."""
        return figures_of_matches(
            matches, weights, SIZES, self.categories, groups
        )

    def drawn(
        self,
        name: str,
        images: np.ndarray,
        weights: np.ndarray,
        groups: Optional[np.ndarray] = None,
    ) -> ResampledFigures:
        """Return the figures of a detector on a sample of the images."""
        matches = matches_of(self.matches[name], images)
        return self.compute(matches, weights, groups)

    def truth(self, a: str, b: str) -> Dict[str, float]:
        """Return the true difference of each figure."""
        first, second = self.figures[a], self.figures[b]
        return {
            name: float(second[name][0] - first[name][0]) for name in first
        }


def values(figures: ResampledFigures) -> Dict[str, np.ndarray]:
    """Return all figures by name."""
    return {**figures.sizes, **figures.classes}


def weights_of(
    images: int, resamples: int, seed: int, groups: Optional[np.ndarray] = None
) -> np.ndarray:
    """Return ones, then the weights of the images in each resample."""
    drawn = resample_weights(images, resamples, seed, groups)
    return np.concatenate([np.ones((1, images), int), drawn])


def outcomes(
    a: ResampledFigures, b: ResampledFigures, truth: Dict[str, float]
) -> Iterator[Tuple[str, Outcome]]:
    """Yield the outcome of each row, and those of all classes as one."""
    comparison = compare_figures([a], [b])
    first, second = values(a), values(b)
    for name in ('AP', 'AP_small', 'AP_large', RAREST):
        row = find(comparison, name)
        yield name, outcome(row, first, second, truth[name])
    for row in comparison.classes:
        if row.name in truth and '_' not in row.name:
            one = outcome(row, first, second, truth[row.name])
            yield 'each class', one


def find(comparison: Comparison, name: str) -> Optional[Difference]:
    """Return the row of a figure, or None if no object is in the sample."""
    rows = (*comparison.sizes, *comparison.classes)
    return next((row for row in rows if row.name == name), None)


def outcome(
    row: Optional[Difference],
    a: Dict[str, np.ndarray],
    b: Dict[str, np.ndarray],
    true: float,
) -> Outcome:
    """Return the outcome of a row; ``a`` and ``b`` are its figures."""
    if row is None or row.low is None or row.high is None:
        return Outcome(true, False)
    low, high = np.nanpercentile((b[row.name] - a[row.name])[1:], [2.5, 97.5])
    return Outcome(
        true,
        True,
        row.low <= true <= row.high,
        bool(low <= true <= high),
        row.p is not None and row.p < 0.05,
        row.is_clear,
    )


def simulate_images(
    size: int, samples: int, resamples: int, seed: int
) -> Outcomes:
    """Return the outcomes of independent images, by number of images."""
    population = Population(size)
    random = np.random.default_rng(seed)
    found: Outcomes = defaultdict(list)
    for images, settings in PLAN.items():
        for i in tqdm(range(samples), desc=f'{images} images'):
            chosen = np.sort(random.choice(size, images, replace=False))
            weights = weights_of(images, resamples, i)
            names = {name for one in settings for name in PAIRS[one]}
            figures = {
                name: population.drawn(name, chosen, weights) for name in names
            }
            for setting in settings:
                a, b = PAIRS[setting]
                truth = population.truth(a, b)
                for name, one in outcomes(figures[a], figures[b], truth):
                    found[setting, images, name].append(one)
    return found


def simulate_scenes(
    size: int, samples: int, resamples: int, seed: int
) -> Outcomes:
    """Return the outcomes of scenes with several images."""
    population = Population(size, has_scenes=True)
    random = np.random.default_rng(seed)
    truth = population.truth('A', 'B')
    found: Outcomes = defaultdict(list)
    for scenes in SCENES:
        groups = np.arange(scenes).repeat(IMAGES_PER_SCENE)
        for i in tqdm(range(samples), desc=f'{scenes} scenes'):
            chosen = random.choice(
                size // IMAGES_PER_SCENE, scenes, replace=False
            )
            images = np.flatnonzero(np.isin(population.scenes, chosen))
            for setting, by in ((BY_SCENE, groups), (BY_IMAGE, None)):
                weights = weights_of(len(images), resamples, i, by)
                a, b = (
                    population.drawn(name, images, weights, by)
                    for name in 'AB'
                )
                for name, one in outcomes(a, b, truth):
                    found[setting, len(images), name].append(one)
    return found


def simulate_seeds(samples: int, resamples: int, seed: int) -> List[List[str]]:
    """Return the rows of several training seeds of two equal detectors."""
    random = np.random.default_rng(seed)
    rows = []
    for paired in (True, False):
        for seeds in SEEDS:
            drawn = [
                seeds_interval(random, seeds, paired, resamples)
                for _ in range(samples)
            ]
            width = np.mean([one.high - one.low for one in drawn])
            ideal = 2 * 1.96 * (2 * (1 + 2 / seeds)) ** 0.5
            rows.append(
                [
                    f'{seeds} seeds, {"paired" if paired else "not paired"}',
                    str(SEEDS_IMAGES),
                    f'width: {width / ideal:.2f} times the true one',
                    '+0.0',
                    '100 %',
                    percent([one.low <= 0 <= one.high for one in drawn]),
                    '-',
                    percent([one.p < 0.05 for one in drawn]),
                    '-',
                ]
            )
    return rows


def seeds_interval(
    random: np.random.Generator, seeds: int, paired: bool, resamples: int
) -> Interval:
    """Return the interval of figures with known effects, and no difference.

    The effects of a seed and of the images on a detector's figure, and the
    interaction of both, have a variance of 1. Paired detectors share another
    effect of the seed.
    """
    scale = SEEDS_IMAGES**0.5
    figures = (
        random.normal(0, 1, (2, seeds, 1))
        + random.normal(0, scale, (2, 1, SEEDS_IMAGES))
        + random.normal(0, scale, (2, seeds, SEEDS_IMAGES))
        + (random.normal(0, 2, (seeds, 1)) if paired else 0)
    )
    weights = weights_of(SEEDS_IMAGES, resamples, int(random.integers(2**31)))
    a, b = figures @ weights.T / SEEDS_IMAGES
    return crossed_interval(a, b, SEEDS_IMAGES, paired)


def percent(flags: List[bool]) -> str:
    """Return a share in percent."""
    return f'{100 * np.mean(flags):.1f} %' if flags else '-'


def rows_of(found: Outcomes) -> List[List[str]]:
    """Return a row of the table for each setting and figure."""
    rows = []
    for (setting, images, figure), all_outcomes in found.items():
        told = [one for one in all_outcomes if one.is_told]
        true = {one.true for one in all_outcomes}
        rows.append(
            [
                setting,
                str(images),
                figure.replace(RAREST, 'rarest class'),
                points(true.pop()) if len(true) == 1 else '-',
                f'{100 * len(told) / len(all_outcomes):.0f} %',
                *(
                    percent([getattr(one, field) for one in told])
                    for field in (
                        'holds',
                        'plain_holds',
                        'is_found',
                        'is_clear',
                    )
                ),
            ]
        )
    return rows


def result_of(options: argparse.Namespace) -> dict:
    """Return the result, in the form of docs/results."""
    numbers = options.samples, options.resamples, options.seed
    found = {
        **simulate_images(options.population, *numbers),
        **simulate_scenes(options.population, *numbers),
    }
    seeds = simulate_seeds(options.seed_samples, 200, options.seed)
    error = 100 * (0.95 * 0.05 / options.samples) ** 0.5
    return dict(
        what=(
            'How often the 95 % intervals held the true difference: '
            f'{options.samples} samples for each setting out of '
            f'{options.population:,} synthetic images with {CLASSES} classes '
            f'(standard error {error:.1f} % where all have an interval), '
            f'{options.resamples} resamples each; {options.seed_samples} '
            'samples for seeds'
        ),
        command=(
            f'tools/dev/simulate_coverage.py --samples {options.samples} '
            f'--resamples {options.resamples}'
        ),
        date=f'{date.today()}',
        hardware=options.hardware,
        versions=options.versions,
        samples=options.samples,
        columns=list(COLUMNS),
        rows=rows_of(found) + seeds,
    )


def as_text(result: dict) -> str:
    """Return a result as JSON with one line for each row."""
    rows = ',\n'.join(f'  {json.dumps(row)}' for row in result['rows'])
    text = json.dumps(dict(result, rows=[]), indent=1)
    return text.replace('"rows": []', f'"rows": [\n{rows}\n ]') + '\n'


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    numbers = dict(
        population=(20000, 'images of each population'),
        samples=(1000, 'samples for each setting'),
        resamples=(1000, 'resamples of each interval'),
        seed_samples=(1000, 'samples for training seeds'),
        seed=(0, 'seed of the samples'),
    )
    for name, (number, what) in numbers.items():
        parser.add_argument(
            f'--{name.replace("_", "-")}',
            type=int,
            default=number,
            help=f'{what}. Default: {number}',
        )
    parser.add_argument('--out', type=Path, help='JSON file to write')
    for name in ('hardware', 'versions'):
        parser.add_argument(
            f'--{name}',
            default='not recorded',
            help=f'{name} to record in the file',
        )
    return parser.parse_args()


def main() -> None:
    """Print the coverage of each setting, and write it if asked for."""
    options = parse_options()
    # A sample is too small for several threads.
    os.environ['OMP_NUM_THREADS'] = '1'
    result = result_of(options)
    for row in (result['columns'], *result['rows']):
        print('  '.join(cell.ljust(16) for cell in row))
    if options.out:
        options.out.write_text(as_text(result))


if __name__ == '__main__':
    main()
