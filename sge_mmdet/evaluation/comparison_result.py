"""Differences between two detectors, as data, tables and sentences."""

from dataclasses import asdict, dataclass, fields
from typing import List, Optional, Tuple

from ..utils.tables import Table, points


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
    """Differences between two detectors.

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
            seeds = a if a == b else f'{a} and {b}'
            return f'{text} and of the spread over {seeds} seeds.'
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
        """Return the comparison as plain dicts and lists, for JSON."""
        return dict(asdict(self), verdict=self.verdict())

    def _sentence(self, name: str) -> str:
        """Return the finding for a figure."""
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
