"""Comparison of two detectors by a paired bootstrap."""

from dataclasses import asdict, dataclass, fields
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from scipy.stats import t as student_t

from ..utils import printable
from ..utils.tables import Table, points
from .bins import SizeBin, with_all_sizes
from .bootstrap import check_memory, mean_ap, resample_weights, weighted_ap
from .engines import COCO_THRESHOLDS
from .matching import match
from .structures import Detections, GroundTruth
from .subsets import of_categories


@dataclass(frozen=True)
class Difference:
    """Difference of a figure between two detectors.

    Attributes:
        name: Name of the figure, such as "AP_small" or "AP of person".
        a: Mean figure of the first detector over its seeds, in [0, 1].
        b: Mean figure of the second detector over its seeds, in [0, 1].
        difference: Difference b - a.
        low: Lower bound of the 95 % interval of the difference, over images
            and, if both detectors have several seeds, over seeds.
        high: Upper bound of this interval.
        p: Two-sided p-value of the hypothesis of no difference.
        spread_a: Standard deviation over the seeds of the first detector;
            None for one seed.
        spread_b: Standard deviation over the seeds of the second detector.
    """

    name: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    spread_a: Optional[float] = None
    spread_b: Optional[float] = None


@dataclass(frozen=True)
class Comparison:
    """Result of a comparison.

    Attributes:
        sizes: Differences in AP, AP50, AP75 and AP by size.
        classes: Differences by class, for all sizes and then for each size.
        names: Names of the two detectors.
        images: Number of images.
        resamples: Number of resamples of the images.
        seeds: Number of results of each detector.
        small: Name of the main figure of the verdict.
    """

    sizes: List[Difference]
    classes: List[Difference]
    names: Tuple[str, str]
    images: int
    resamples: int
    seeds: Tuple[int, int]
    small: str

    def __getitem__(self, name: str) -> Difference:
        """Return the difference of the figure with this name."""
        return {row.name: row for row in (*self.sizes, *self.classes)}[name]

    def verdict(self) -> str:
        """Return findings and method, in sentences that can be quoted."""
        return f'{self.findings()} {self.method()}'

    def findings(self) -> str:
        """Return the findings for small objects and for all objects."""
        return ' '.join(map(self._sentence, dict.fromkeys([self.small, 'AP'])))

    def method(self) -> str:
        """Return a description of the intervals."""
        text = (
            f'Intervals are of {self.resamples} paired bootstrap '
            f'resamples of {self.images} images'
        )
        if min(self.seeds) > 1:
            a, b = self.seeds
            return (
                f'{text} and of the spread over '
                f'{a if a == b else f"{a} and {b}"} seeds.'
            )
        return f'{text} and do not hold what another training would change.'

    def table(self, classes: bool = False) -> Table:
        """Return the differences by size, or by class, as a table."""
        has_spread = max(self.seeds) > 1
        header = ['figure', *self.names, 'difference', '95 % interval', 'p']
        if has_spread:
            header += [f'sd of {name}' for name in self.names]
        return Table(
            header,
            [
                (
                    row.name,
                    row.a,
                    row.b,
                    points(row.difference),
                    f'{points(row.low)} to {points(row.high)}',
                    row.p,
                    *((row.spread_a, row.spread_b) if has_spread else ()),
                )
                for row in (self.classes if classes else self.sizes)
            ],
        )

    def csv(self) -> str:
        """Return all differences with all digits, one per line."""
        names = [field.name for field in fields(Difference)]
        return Table(
            names,
            [
                [getattr(row, name) for name in names]
                for row in (*self.sizes, *self.classes)
            ],
        ).csv()

    def to_dict(self) -> dict:
        """Return the comparison in plain containers, for JSON."""
        return dict(asdict(self), verdict=self.verdict())

    def _sentence(self, name: str) -> str:
        row = self[name]
        first, second = self.names
        interval = (
            f'95 % interval {points(row.low)} to {points(row.high)}, '
            f'p = {row.p:.3g}'
        )
        if row.low <= 0 <= row.high:
            seeds = ' and seeds' if min(self.seeds) > 1 else ''
            return (
                f'Whether {second} differs from {first} in {name} cannot '
                f'be told from these images{seeds}: '
                f'{points(row.difference)} points ({interval}).'
            )
        word = 'better' if row.difference > 0 else 'worse'
        return (
            f'{second} is {word} than {first} in {name}: '
            f'{100 * row.a:.1f} to {100 * row.b:.1f}, '
            f'{points(row.difference)} points ({interval}).'
        )


@dataclass(frozen=True)
class ResampledFigures:
    """Figures of one result, on all images and on resamples.

    Attributes:
        sizes: AP, AP50, AP75 and AP by size. Each array holds the figure of
            all images and those of the resamples; its shape is
            (1 + resamples,), and it is NaN without objects.
        classes: AP by class, for all sizes and then for each size.
        images: Number of images.
        small: Name of the figure of small objects.
    """

    sizes: Dict[str, np.ndarray]
    classes: Dict[str, np.ndarray]
    images: int
    small: str


def compare_detections(
    ground_truth: GroundTruth,
    a: Sequence[Detections],
    b: Sequence[Detections],
    bins: Sequence[SizeBin],
    names: Tuple[str, str] = ('A', 'B'),
    metric: str = 'bbox',
    resamples: int = 1000,
    seed: int = 0,
    progress: bool = False,
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
        progress (bool): Whether to show a progress bar. Default: False.

    Raises:
        ValueError: If there is nothing to compare, or the resamples need more
            memory than is available.
    """
    check_memory(ground_truth, bins, resamples, len(a) + len(b))
    first, second = map(printable, names)
    of_a, of_b = (
        [
            resample_figures(
                ground_truth,
                detections,
                bins,
                metric,
                resamples,
                seed,
                progress,
            )
            for detections in side
        ]
        for side in (a, b)
    )
    return compare_figures(of_a, of_b, (first, second))


def resample_figures(
    ground_truth: GroundTruth,
    detections: Detections,
    bins: Sequence[SizeBin],
    metric: str = 'bbox',
    resamples: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> ResampledFigures:
    """Compute the figures of one result, for :func:`compare_figures`.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        bins (Sequence[SizeBin]): Bins of object sizes.
        metric (str): Metric, "bbox" or "segm". Default: "bbox".
        resamples (int): Number of resamples. Default: 1000.
        seed (int): Seed of the resampling. Default: 0.
        progress (bool): Whether to show a progress bar. Default: False.

    Raises:
        ValueError: If the ground truth has no object, or the resamples are too
            few for an interval or need more memory than is available.
    """
    if resamples < 2:
        raise ValueError(
            'Intervals need two resamples or more, and are good '
            f'from some hundreds; got {resamples}'
        )
    if not len(ground_truth.image):
        raise ValueError(f'{ground_truth.name} has no object to compare on')
    check_memory(ground_truth, bins, resamples)
    # Categories without objects have no figures.
    ground_truth, detections = of_categories(
        ground_truth, detections, np.unique(ground_truth.category)
    )
    bins = with_all_sizes(bins)
    weights = np.concatenate(
        [
            np.ones((1, len(ground_truth.image_ids)), int),
            resample_weights(len(ground_truth.image_ids), resamples, seed),
        ]
    )
    ap = weighted_ap(
        match(ground_truth, detections, bins, metric),
        weights,
        progress=progress,
    )
    names = [bin.name for bin in bins[1:]]
    small = 'small' if 'small' in names else next(iter(names), None)
    return ResampledFigures(
        dict(_by_size(ap, names)),
        dict(_by_class(ap, names, ground_truth.category_names)),
        len(ground_truth.image_ids),
        f'AP_{small}' if small else 'AP',
    )


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

    Raises:
        ValueError: If there is nothing to compare.
    """
    if not a or not b:
        raise ValueError(
            'A comparison needs one result or more of each '
            f'detector, got {len(a)} and {len(b)}'
        )

    def rows(of: str) -> List[Difference]:
        detections = (
            _difference(
                name,
                *([getattr(run, of)[name] for run in side] for side in (a, b)),
            )
            for name in getattr(a[0], of)
        )
        return [row for row in detections if row]

    sizes = rows('sizes')
    small = a[0].small if a[0].small in {row.name for row in sizes} else 'AP'
    return Comparison(
        sizes,
        rows('classes'),
        names,
        a[0].images,
        len(a[0].sizes['AP']) - 1,
        (len(a), len(b)),
        small,
    )


def _by_size(
    ap: np.ndarray,
    sizes: Sequence[str],
) -> 'Iterator[Tuple[str, np.ndarray]]':
    """Yield names and values of the figures of all classes.

    Args:
        ap (np.ndarray): Average precision of shape (1 + resamples,
            thresholds, categories, bins); the first bin has all sizes.
        sizes (Sequence[str]): Names of the other bins.
    """
    by_size = mean_ap(ap)
    yield 'AP', by_size[:, 0]
    for iou in 0.5, 0.75:
        t = int(np.argmin(np.abs(np.array(COCO_THRESHOLDS) - iou)))
        yield f'AP{100 * iou:.0f}', mean_ap(ap, slice(t, t + 1))[:, 0]
    for i, size in enumerate(sizes, start=1):
        yield f'AP_{size}', by_size[:, i]


def _by_class(
    ap: np.ndarray,
    sizes: Sequence[str],
    categories: Sequence[str],
) -> 'Iterator[Tuple[str, np.ndarray]]':
    for i, size in enumerate(['', *(f'_{size}' for size in sizes)]):
        for k, name in enumerate(categories):
            yield (f'AP{size} of {name}', ap[:, :, k, i].mean(1, dtype=float))


def _difference(
    name: str, a: Sequence[np.ndarray], b: Sequence[np.ndarray]
) -> Optional[Difference]:
    """Return the difference of a figure, or None without objects."""
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
) -> 'Tuple[float, float, float]':
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
