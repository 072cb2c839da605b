"""Whether one detector is better than another, where, and beyond chance."""
from dataclasses import asdict, dataclass, fields
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from ..utils.tables import Table, points
from .bins import SizeBin, with_all_sizes
from .bootstrap import mean_ap, resample_weights, weighted_ap
from .columns import Detections, Truth
from .engines import COCO_THRESHOLDS
from .matching import match


@dataclass(frozen=True)
class Difference:
    """One figure of two detectors.

    Attributes:
        name: Such as "AP_small" or "AP of person".
        a: Of the first, the mean over its seeds; in [0, 1].
        b: Of the second.
        difference: b - a.
        low: Lower end of the difference's 95 % interval over images.
        high: Its upper end.
        p: Two-sided p-value of no difference.
        spread_a: Standard deviation over the first's seeds; None for one.
        spread_b: Over the second's.
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
    """What a comparison found.

    Attributes:
        sizes: Differences in AP, AP50, AP75 and by size.
        classes: Differences by class, of all sizes and then of each.
        names: Of the two detectors.
        images: Number of images.
        resamples: Number of resamples of them.
        seeds: Number of results of each.
        small: Name of the figure that the verdict is about.
    """

    sizes: List[Difference]
    classes: List[Difference]
    names: Tuple[str, str]
    images: int
    resamples: int
    seeds: Tuple[int, int]
    small: str

    def __getitem__(self, name: str) -> Difference:
        """Return the difference of a figure's name."""
        return {row.name: row for row in (*self.sizes, *self.classes)}[name]

    def verdict(self) -> str:
        """Return what can be said, in sentences that can be quoted."""
        return ' '.join(self._sentence(name) for name in
                        dict.fromkeys([self.small, 'AP'])) + (
            f' Intervals are of {self.resamples} paired bootstrap resamples '
            f'of {self.images} images'
            + (' and do not hold what another training would change.'
               if self.seeds == (1, 1) else '.'))

    def table(self, classes: bool = False) -> Table:
        """Return the differences by size, or by class, as a table."""
        has_spread = max(self.seeds) > 1
        header = ['figure', *self.names, 'difference', '95 % interval', 'p']
        if has_spread:
            header += [f'sd of {name}' for name in self.names]
        return Table(header, [
            [row.name, row.a, row.b, points(row.difference),
             f'{points(row.low)} to {points(row.high)}', row.p]
            + ([row.spread_a, row.spread_b] if has_spread else [])
            for row in (self.classes if classes else self.sizes)
        ])

    def csv(self) -> str:
        """Return all differences with all digits, one a line."""
        names = [field.name for field in fields(Difference)]
        return Table(names, [[getattr(row, name) for name in names]
                             for row in (*self.sizes, *self.classes)]).csv()

    def to_dict(self) -> dict:
        """Return everything in plain containers, for JSON."""
        return dict(asdict(self), verdict=self.verdict())

    def _sentence(self, name: str) -> str:
        row = self[name]
        first, second = self.names
        interval = (f'95 % interval {points(row.low)} to {points(row.high)}, '
                    f'p = {row.p:.3g}')
        if row.low <= 0 <= row.high:
            return (f'Whether {second} differs from {first} in {name} cannot '
                    f'be told from these images: {points(row.difference)} '
                    f'points ({interval}).')
        word = 'better' if row.difference > 0 else 'worse'
        text = (f'{second} is {word} than {first} in {name}: '
                f'{100 * row.a:.1f} to {100 * row.b:.1f}, '
                f'{points(row.difference)} points ({interval})')
        spread = self._seed_error(row)
        if spread is None:
            return f'{text}.'
        beyond = abs(row.difference) > 2 * spread
        return (f'{text}; the difference is {"more" if beyond else "not more"}'
                f' than twice its standard error over seeds '
                f'({100 * spread:.1f} points).')

    def _seed_error(self, row: Difference) -> Optional[float]:
        if row.spread_a is None or row.spread_b is None:
            return None
        return float(np.hypot(row.spread_a / self.seeds[0]**0.5,
                              row.spread_b / self.seeds[1]**0.5))


def compare_detections(truth: Truth,
                       a: Sequence[Detections],
                       b: Sequence[Detections],
                       bins: Sequence[SizeBin],
                       names: Tuple[str, str] = ('A', 'B'),
                       metric: str = 'bbox',
                       resamples: int = 1000,
                       seed: int = 0,
                       progress: bool = False) -> Comparison:
    """Compare two detectors by a paired bootstrap over images.

    Every resample draws images with replacement, the same for both, and an
    image that is drawn twice counts twice. With several results of a
    detector, one a seed, their mean is compared.

    Args:
        truth (Truth): The ground truth.
        a (Sequence[Detections]): Results of the first, one or more.
        b (Sequence[Detections]): Results of the second.
        bins (Sequence[SizeBin]): Sizes.
        names (tuple[str, str]): Of the detectors. Default: ("A", "B").
        metric (str): "bbox" or "segm". Default: "bbox".
        resamples (int): Default: 1000.
        seed (int): Of the resampling. Default: 0.
        progress (bool): Whether to show a bar. Default: False.

    Raises:
        ValueError: If there is nothing to compare.
    """
    if not a or not b:
        raise ValueError('A comparison needs one result or more of each '
                         f'detector, got {len(a)} and {len(b)}')
    if not len(truth.image):
        raise ValueError('The ground truth has no object to compare on')
    bins = with_all_sizes(bins)
    weights = np.concatenate([
        np.ones((1, len(truth.image_ids)), int),
        resample_weights(len(truth.image_ids), resamples, seed)
    ])
    sides: List[List[Dict[str, np.ndarray]]] = []
    for side in a, b:
        sides.append([
            dict(_figures(weighted_ap(match(truth, found, bins, metric),
                                      weights, progress=progress),
                          bins, truth.category_names))
            for found in side
        ])
    rows = [_difference(name, [[run[name] for run in side]
                               for side in sides])
            for name in sides[0][0]]
    sizes = 3 + len(bins) - 1
    small = next((bin.name for bin in bins if bin.name == 'small'),
                 bins[min(1, len(bins) - 1)].name)
    return Comparison(
        [row for row in rows[:sizes] if row], [row for row in rows[sizes:]
                                               if row],
        names, len(truth.image_ids), resamples, (len(a), len(b)),
        'AP' if small == 'all' else f'AP_{small}')


def _figures(ap: np.ndarray, bins: Sequence[SizeBin],
             categories: Sequence[str]) -> 'Iterator[Tuple[str, np.ndarray]]':
    """Yield names and values of the figures, the first of no resample.

    Args:
        ap (np.ndarray): Shape (1 + resamples, thresholds, categories, bins).
        bins (Sequence[SizeBin]): The first is that of all sizes.
        categories (Sequence[str]): Names.
    """
    by_size = mean_ap(ap)
    yield 'AP', by_size[:, 0]
    for iou in 0.5, 0.75:
        t = int(np.argmin(np.abs(np.array(COCO_THRESHOLDS) - iou)))
        yield f'AP{100 * iou:.0f}', mean_ap(ap, slice(t, t + 1))[:, 0]
    for i, bin in enumerate(bins[1:], start=1):
        yield f'AP_{bin.name}', by_size[:, i]
    for k, name in enumerate(categories):
        yield f'AP of {name}', ap[:, :, k, 0].mean(1, dtype=float)
    for i, bin in enumerate(bins[1:], start=1):
        for k, name in enumerate(categories):
            yield (f'AP_{bin.name} of {name}',
                   ap[:, :, k, i].mean(1, dtype=float))


def _difference(name: str,
                sides: 'List[List[np.ndarray]]') -> Optional[Difference]:
    """Return a figure's difference, or None where there is no object."""
    a, b = (np.mean(side, 0) for side in sides)
    drawn = (b - a)[1:]
    drawn = drawn[~np.isnan(drawn)]
    if np.isnan(b[0] - a[0]) or not len(drawn):
        return None
    low, high = np.percentile(drawn, [2.5, 97.5])
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    spreads = [float(np.std([run[0] for run in side], ddof=1))
               if len(side) > 1 else None for side in sides]
    return Difference(
        name, float(a[0]), float(b[0]), float(b[0] - a[0]), float(low),
        float(high), float(min(1, 2 * (tail + 1) / (len(drawn) + 1))),
        *spreads)
