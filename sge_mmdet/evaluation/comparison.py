"""Comparison of two detectors by a paired bootstrap."""

import warnings
from dataclasses import replace
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
    Union,
)

import numpy as np

from ..utils import printable
from .bins import SizeBin
from .comparison_result import Comparison, Difference
from .intervals import (
    Interval,
    benjamini_hochberg,
    crossed_interval,
    expanded_interval,
    holm,
)
from .resampled_figures import ResampledFigures, Support, resample_results
from .structures import Detections, GroundTruth

if TYPE_CHECKING:
    from .protocols import Protocol

Result = TypeVar('Result')
# Results of one detector, in any order or by their training seeds.
BySeed = Union[Sequence[Result], Mapping[Any, Result]]


def compare_detections(
    ground_truth: GroundTruth,
    a: BySeed[Detections],
    b: BySeed[Detections],
    bins: Sequence[SizeBin],
    names: Tuple[str, str] = ('A', 'B'),
    metric: str = 'bbox',
    protocol: Optional['Protocol'] = None,
    **resampling: Any,
) -> Comparison:
    """Compare two detectors by a paired bootstrap over images.

    Every resample draws images with replacement, the same for both detectors;
    an image that is drawn twice counts twice. If the ground truth has groups
    of images, groups are drawn in their place. If a detector has several
    results, one per seed, their mean is compared.

    Args:
        ground_truth (GroundTruth): The ground truth.
        a (Sequence[Detections] or dict[int, Detections]): Results of the
            first detector, one or more; a dict has them by training seed.
        b (Sequence[Detections] or dict[int, Detections]): Results of the
            second detector. Dicts with the same seeds are paired by seed.
        bins (Sequence[SizeBin]): Bins of object sizes.
        names (tuple[str, str]): Names of the detectors. Default: ("A", "B").
        metric (str): Metric, "bbox" or "segm". Default: "bbox".
        protocol (Protocol, optional): Protocol, whose bins, IoU thresholds and
            number of detections are taken. Default: None, COCO's.
        **resampling (Any): Arguments of :func:`resample_results`:
            ``resamples``, the number of resamples (default: 1000); ``seed``,
            the seed of the resampling (default: 0); and ``max_dets``, the
            largest number of detections per image and class (default: 100).

    Returns:
        Comparison: Differences with their intervals.

    Raises:
        ValueError: If there is nothing to compare, or the resamples need more
            memory than is available.
    """
    first, second = _by_seed(a), _by_seed(b)
    results = [*first.values(), *second.values()]
    warn_of_equal_results(results)
    figures = (
        protocol.resample(
            *protocol.prepare_results(ground_truth, results, metric),
            metric,
            **resampling,
        )
        if protocol
        else resample_results(
            ground_truth, results, bins, metric, **resampling
        )
    )
    return compare_figures(
        dict(zip(first, figures)),
        dict(zip(second, figures[len(first) :])),
        names,
    )


def warn_of_equal_results(results: Sequence[Detections]) -> None:
    """Warn if results have the same detections.

    Args:
        results (Sequence[Detections]): Results of both detectors.
    """
    distinct: List[Detections] = []
    for one in results:
        if not any(_are_equal(one, other) for other in distinct):
            distinct.append(one)
    if len(distinct) < len(results):
        warnings.warn(
            f'only {len(distinct)} of {len(results)} results have detections '
            'of their own, the others repeat them; give each result once, '
            'and two detectors',
            stacklevel=2,
        )


def _are_equal(one: Detections, other: Detections) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ('score', 'box', 'image', 'category')
    )


def compare_figures(
    a: BySeed[ResampledFigures],
    b: BySeed[ResampledFigures],
    names: Tuple[str, str] = ('A', 'B'),
) -> Comparison:
    """Compare precomputed bootstrap figures of two detectors.

    Args:
        a (Sequence[ResampledFigures] or dict[int, ResampledFigures]): Figures
            of the first detector, one or more, all with the same data, bins,
            resamples and seed of resampling; a dict has them by training
            seed.
        b (Sequence[ResampledFigures] or dict[int, ResampledFigures]): Figures
            of the second detector. Dicts with the same seeds are paired by
            seed.
        names (tuple[str, str]): Names of the detectors. Default: ("A", "B").

    Returns:
        Comparison: Differences with their intervals.

    Raises:
        ValueError: If a detector has no result, or both have the same name.
    """
    if names[0] == names[1]:
        raise ValueError(
            'expected two names of detectors that differ, got '
            f'{printable(names[0])} twice'
        )
    if not a or not b:
        raise ValueError(
            'expected one result or more of each detector, '
            f'got {len(a)} and {len(b)}'
        )
    first, second = _by_seed(a), _by_seed(b)
    paired = len(first) > 1 and {*first} == {*second}
    if paired:
        second = {seed: second[seed] for seed in first}
    sides = [*first.values()], [*second.values()]
    sizes = _differences(sides, 'sizes', paired, holm)
    classes = _differences(sides, 'classes', paired, benjamini_hochberg)
    one = sides[0][0]
    return Comparison(
        sizes,
        classes,
        (printable(names[0]), printable(names[1])),
        one.images,
        len(one.sizes['AP']) - 1,
        (len(first), len(second)),
        one.small if one.small in {row.name for row in sizes} else 'AP',
        one.groups,
        paired,
    )


def _by_seed(results: BySeed[Result]) -> Dict[Any, Result]:
    """Return results by training seed.

    Without seeds, the keys are objects that equal no other key.
    """
    if isinstance(results, Mapping):
        return dict(results)
    return {object(): result for result in results}


def _differences(
    sides: Tuple[List[ResampledFigures], List[ResampledFigures]],
    group: str,
    paired: bool,
    adjust: Callable[[List[Optional[float]]], List[Optional[float]]],
) -> List[Difference]:
    """Return the differences of all figures that have objects.

    Args:
        sides (tuple): Figures of both detectors, for each of their results.
        group (str): Figures to compare, "sizes" or "classes".
        paired (bool): Whether results are paired by training seed.
        adjust (Callable): Adjustment of the p-values for their number.
    """
    rows = []
    one = sides[0][0]
    for name in getattr(one, group):
        a, b = (
            np.array([getattr(run, group)[name] for run in side])
            for side in sides
        )
        if not np.isnan(a[0, 0]):
            rows.append(_difference(name, a, b, one.support[name], paired))
    adjusted = adjust([row.p for row in rows])
    return [replace(row, p_adjusted=p) for row, p in zip(rows, adjusted)]


def _difference(
    name: str, a: np.ndarray, b: np.ndarray, support: Support, paired: bool
) -> Difference:
    """Return the difference of a figure.

    Args:
        name (str): Name of the figure.
        a (np.ndarray): Figure of the first detector, of shape (seeds, 1 +
            resamples).
        b (np.ndarray): Figure of the second detector, in the same form.
        support (Support): How many images hold such objects.
        paired (bool): Whether results are paired by training seed.
    """
    interval = None
    if support.is_enough:
        interval = _interval(a, b, support.units, paired)
    spreads = [
        float(np.std(side[:, 0], ddof=1)) if len(side) > 1 else None
        for side in (a, b)
    ]
    mean_a, mean_b = float(a[:, 0].mean()), float(b[:, 0].mean())
    return Difference(
        name,
        mean_a,
        mean_b,
        mean_b - mean_a,
        interval.low if interval else None,
        interval.high if interval else None,
        interval.p if interval else None,
        None,
        support.images,
        support.units,
        *spreads,
    )


def _interval(
    a: np.ndarray, b: np.ndarray, units: int, paired: bool
) -> Optional[Interval]:
    """Return the interval of a difference; None without any resample.

    Args:
        a (np.ndarray): Figure of the first detector, of shape (seeds, 1 +
            resamples).
        b (np.ndarray): Figure of the second detector, in the same form.
        units (int): Number of images or groups with such objects.
        paired (bool): Whether results are paired by training seed.
    """
    # At most one resample in 400 has none of so many images.
    drawn = ~np.isnan(a[0])
    if drawn.sum() < 3:
        return None
    a, b = a[:, drawn], b[:, drawn]
    if min(len(a), len(b)) > 1:
        return crossed_interval(a, b, units, paired)
    return expanded_interval(b.mean(0) - a.mean(0), units)
