"""Comparison of two detectors by a paired bootstrap."""

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from scipy.stats import t as student_t

from ..utils import printable
from .bins import SizeBin
from .comparison_result import Comparison, Difference
from .resampled_figures import ResampledFigures, resample_results
from .structures import Detections, GroundTruth


def compare_detections(
    ground_truth: GroundTruth,
    a: Sequence[Detections],
    b: Sequence[Detections],
    bins: Sequence[SizeBin],
    names: Tuple[str, str] = ('A', 'B'),
    metric: str = 'bbox',
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compare two detectors by a paired bootstrap over images.

    Every resample draws images with replacement, the same for both detectors;
    an image that is drawn twice counts twice. If a detector has several
    results, one per seed, their mean is compared.

    Args:
        ground_truth (GroundTruth): The ground truth.
        a (Sequence[Detections]): Results of the first detector, one or more.
        b (Sequence[Detections]): Results of the second detector.
        bins (Sequence[SizeBin]): Bins of object sizes.
        names (tuple[str, str]): Names of the detectors. Default: ("A", "B").
        metric (str): Metric, "bbox" or "segm". Default: "bbox".
        resamples (int): Number of resamples. Default: 1000.
        seed (int): Seed of the resampling. Default: 0.

    Returns:
        Comparison: Differences with their intervals.

    Raises:
        ValueError: If there is nothing to compare, or the resamples need more
            memory than is available.
    """
    figures = resample_results(
        ground_truth, [*a, *b], bins, metric, resamples, seed
    )
    return compare_figures(figures[: len(a)], figures[len(a) :], names)


def compare_figures(
    a: Sequence[ResampledFigures],
    b: Sequence[ResampledFigures],
    names: Tuple[str, str] = ('A', 'B'),
) -> Comparison:
    """Compare precomputed bootstrap figures of two detectors.

    Args:
        a (Sequence[ResampledFigures]): Figures of the first detector, one or
            more, all with the same data, bins, resamples and seed.
        b (Sequence[ResampledFigures]): Figures of the second detector.
        names (tuple[str, str]): Names of the detectors. Default: ("A", "B").

    Returns:
        Comparison: Differences with their intervals.

    Raises:
        ValueError: If a detector has no result.
    """
    if not a or not b:
        raise ValueError(
            'expected one result or more of each detector, '
            f'got {len(a)} and {len(b)}'
        )
    sizes, classes = (
        _differences(
            [getattr(run, group) for run in a],
            [getattr(run, group) for run in b],
        )
        for group in ('sizes', 'classes')
    )
    first, second = map(printable, names)
    return Comparison(
        sizes,
        classes,
        (first, second),
        a[0].images,
        len(a[0].sizes['AP']) - 1,
        (len(a), len(b)),
        a[0].small if a[0].small in {row.name for row in sizes} else 'AP',
    )


def _differences(
    a: Sequence[Dict[str, np.ndarray]], b: Sequence[Dict[str, np.ndarray]]
) -> List[Difference]:
    """Return the differences of all figures that have objects.

    Args:
        a (Sequence[dict[str, np.ndarray]]): Figures of the first detector by
            name, for each of its results.
        b (Sequence[dict[str, np.ndarray]]): Figures of the second detector.
    """
    rows = (
        _difference(name, [run[name] for run in a], [run[name] for run in b])
        for name in a[0]
    )
    return [row for row in rows if row]


def _difference(
    name: str, a: Sequence[np.ndarray], b: Sequence[np.ndarray]
) -> Optional[Difference]:
    """Return the difference of a figure, or None without objects.

    Args:
        name (str): Name of the figure.
        a (Sequence[np.ndarray]): Figure of the first detector, of shape (1 +
            resamples,), for each of its results.
        b (Sequence[np.ndarray]): Figure of the second detector.
    """
    mean_a, mean_b = np.mean(a, 0), np.mean(b, 0)
    difference = float(mean_b[0] - mean_a[0])
    drawn = (mean_b - mean_a)[1:]
    drawn = drawn[~np.isnan(drawn)]
    if np.isnan(difference) or not len(drawn):
        return None
    seeds = [[run[0] for run in side] for side in (a, b)]
    if min(map(len, seeds)) > 1:
        low, high, p = seeded_interval(difference, drawn, *seeds)
    else:
        low, high = np.percentile(drawn, [2.5, 97.5])
        tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
        p = min(1, 2 * (tail + 1) / (len(drawn) + 1))
    spreads = (
        float(np.std(side, ddof=1)) if len(side) > 1 else None
        for side in seeds
    )
    return Difference(
        name,
        float(mean_a[0]),
        float(mean_b[0]),
        difference,
        float(low),
        float(high),
        float(p),
        *spreads,
    )


def seeded_interval(
    difference: float,
    drawn: np.ndarray,
    a: Sequence[float],
    b: Sequence[float],
) -> Tuple[float, float, float]:
    """Return the 95 % interval of a difference over images and seeds.

    Images and seeds are drawn independently, so the variances of their means
    add up. The variances over seeds come from few values; Student's t, with
    the degrees of freedom of Welch and Satterthwaite, accounts for that.

    Args:
        difference (float): Difference of the means over seeds.
        drawn (np.ndarray): Differences in resamples of the images, of shape
            (resamples,).
        a (Sequence[float]): Figures of the first detector's seeds, at least
            two.
        b (Sequence[float]): Figures of the second detector's seeds.

    Returns:
        tuple[float, float, float]: Lower bound, upper bound, and the two-sided
        p-value of the hypothesis of no difference.
    """
    over_seeds = [np.var(side, ddof=1) / len(side) for side in (a, b)]
    error = np.sqrt(np.var(drawn, ddof=1) + sum(over_seeds))
    if not error > 0:
        return difference, difference, float(difference == 0)
    uncertain = sum(
        part**2 / (len(side) - 1) for part, side in zip(over_seeds, (a, b))
    )
    freedom = error**4 / uncertain if uncertain else np.inf
    reach = error * student_t.ppf(0.975, freedom)
    return (
        difference - reach,
        difference + reach,
        2 * student_t.sf(abs(difference) / error, freedom),
    )
