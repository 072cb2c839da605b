"""Differences between two detectors, as data, tables and sentences."""

import html
from dataclasses import asdict, dataclass, fields
from typing import Any, List, Optional, Sequence, Tuple

from ..utils.tables import Table, points

# Lowest p-value that is shown. A thousand resamples tell no lower ones apart.
LOWEST_P = 0.001
TOO_FEW = 'too few images to tell'


@dataclass(frozen=True)
class Difference:
    """Difference of a figure between two detectors.

    Attributes:
        name: Name of the figure, such as "AP_small" or "AP of person".
        a: Mean figure of the first detector over its seeds, in [0, 1].
        b: Mean figure of the second detector over its seeds, in [0, 1].
        difference: Difference b - a.
        low: Lower bound of the 95 % interval of the difference, over images
            and, if both detectors have several seeds, over seeds; None if
            there are too few images to tell.
        high: Upper bound of this interval.
        p: Two-sided p-value of the hypothesis of no difference.
        p_adjusted: P-value adjusted for the number of figures: those of sizes
            by Holm, those of classes by Benjamini and Hochberg.
        images: Number of images that hold objects of the figure.
        units: Number of groups of images that hold them; that of images
            without groups.
        spread_a: Standard deviation over the seeds of the first detector;
            None for one seed.
        spread_b: Standard deviation over the seeds of the second detector.
    """

    name: str
    a: float
    b: float
    difference: float
    low: Optional[float]
    high: Optional[float]
    p: Optional[float]
    p_adjusted: Optional[float]
    images: int
    units: int
    spread_a: Optional[float] = None
    spread_b: Optional[float] = None

    @property
    def is_told(self) -> bool:
        """bool: Whether there are enough images for an interval."""
        return self.p is not None

    @property
    def is_clear(self) -> bool:
        """bool: Whether the adjusted p-value is below 0.05."""
        return self.p_adjusted is not None and self.p_adjusted < 0.05

    @property
    def interval(self) -> str:
        """str: The interval in points, or why there is none."""
        if not self.is_told:
            return TOO_FEW
        return f'{points(self.low)} to {points(self.high)}'


@dataclass(frozen=True)
class Comparison:
    """Differences between two detectors.

    It is printed as its table by size with the verdict, and shown in the same
    way in a notebook.

    Attributes:
        sizes: Differences in AP, AP50, AP75 and AP by size.
        classes: Differences by class, for all sizes and then for each size.
        names: Names of the two detectors.
        images: Number of images.
        resamples: Number of resamples of the images.
        seeds: Number of results of each detector.
        small: Name of the main figure of the verdict.
        groups: Number of groups of images that were resampled as wholes; None
            if the images were resampled one by one.
        paired: Whether the results were paired by training seed.
    """

    sizes: List[Difference]
    classes: List[Difference]
    names: Tuple[str, str]
    images: int
    resamples: int
    seeds: Tuple[int, int]
    small: str
    groups: Optional[int] = None
    paired: bool = False

    def __getitem__(self, name: str) -> Difference:
        """Return the difference of the figure with this name."""
        return {row.name: row for row in (*self.sizes, *self.classes)}[name]

    def __repr__(self) -> str:
        """Return the differences on small objects and in AP."""
        rows = [self[name] for name in dict.fromkeys([self.small, 'AP'])]
        figures = ', '.join(
            f'{row.name} {points(row.difference)} points ({row.interval})'
            for row in rows
        )
        first, second = self.names
        return (
            f'<Comparison of {second} with {first}: {figures}; '
            f'images={self.images}>'
        )

    def __str__(self) -> str:
        """Return the table by size and the verdict as text."""
        return f'{self.table().text()}\n\n{self.verdict()}'

    def _repr_html_(self) -> str:
        """Return the table by size and the verdict for notebooks."""
        return f'{self.table().html()}\n<p>{html.escape(self.verdict())}</p>'

    def verdict(self) -> str:
        """Return findings and method, in sentences that can be quoted."""
        return f'{self.findings()} {self.method()}'

    def findings(self) -> str:
        """Return the findings for small objects and for all objects."""
        return ' '.join(map(self._sentence, dict.fromkeys([self.small, 'AP'])))

    def method(self) -> str:
        """Return a description of the intervals."""
        drawn = f'{self.images} images'
        if self.groups is not None:
            drawn = f'{self.groups} groups of {drawn}'
        text = (
            f'Intervals are of {self.resamples} paired bootstrap '
            f'resamples of {drawn}'
        )
        adjusted = (
            'Adjusted p-values account for the number of figures (sizes by '
            'Holm, classes by Benjamini and Hochberg).'
        )
        if min(self.seeds) > 1:
            a, b = self.seeds
            seeds = a if a == b else f'{a} and {b}'
            kind = 'paired ' if self.paired else ''
            text = f'{text} and of the spread over {seeds} {kind}seeds'
        else:
            text = f'{text} and do not hold what another training would change'
        return f'{text}. {adjusted}'

    def table(self, classes: bool = False) -> Table:
        """Return the differences by size, or by class, as a table."""
        has_spread = max(self.seeds) > 1
        has_groups = self.groups is not None
        header = ['figure', *self.names, 'difference, points']
        header += ['95 % interval', 'p']
        header += ['adjusted p', 'images', *(['groups'] if has_groups else [])]
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
                    row.interval,
                    _shown_p(row.p),
                    _shown_p(row.p_adjusted),
                    row.images,
                    *((row.units,) if has_groups else ()),
                    *((row.spread_a, row.spread_b) if has_spread else ()),
                )
                for row in (self.classes if classes else self.sizes)
            ],
        )

    def csv(self) -> str:
        """Return all differences with all digits, one per line."""
        return _all_digits([*self.sizes, *self.classes]).csv()

    def to_dataframe(self, classes: bool = False) -> Any:
        """Return the differences for pandas, with all digits.

        Args:
            classes (bool): Whether the rows are figures of classes. Default:
                False, they are figures of sizes.

        Returns:
            pandas.DataFrame: One row per difference, with the attributes of
            :class:`Difference` as columns and NaN for None.

        Raises:
            ImportError: If pandas is not installed.
        """
        rows = self.classes if classes else self.sizes
        return _all_digits(rows).to_dataframe()

    def to_dict(self) -> dict:
        """Return the comparison as plain dicts and lists, for JSON."""
        return dict(asdict(self), verdict=self.verdict())

    def _sentence(self, name: str) -> str:
        """Return the finding for a figure."""
        row = self[name]
        first, second = self.names
        if not row.is_told:
            return (
                f'There are too few images to tell whether {second} differs '
                f'from {first} in {name}: {row.images} of {self.images} '
                f'images hold such objects.'
            )
        interval = (
            f'95 % interval {row.interval}, p {_equals(row.p)}, '
            f'adjusted {_equals(row.p_adjusted)}'
        )
        if not row.is_clear:
            seeds = ' and seeds' if min(self.seeds) > 1 else ''
            return (
                f'Whether {second} differs from {first} in {name} cannot '
                f'be told from these images{seeds}: '
                f'{points(row.difference)} points ({interval}).'
            )
        word = 'better' if row.difference > 0 else 'worse'
        return (
            f'{second} is {word} than {first} in {name}: '
            f'{100 * row.b:.1f} against {100 * row.a:.1f}, '
            f'{points(row.difference)} points ({interval}).'
        )


def _shown_p(p: Optional[float]) -> Optional[str]:
    """Return a p-value as text; smaller ones cannot be told apart."""
    if p is None:
        return None
    return f'{p:.3f}' if p >= LOWEST_P else f'<{LOWEST_P}'


def _equals(p: Optional[float]) -> str:
    """Return "= 0.012", or "< 0.001", for sentences."""
    shown = _shown_p(p) or 'n/a'
    return f'< {shown[1:]}' if shown[0] == '<' else f'= {shown}'


def _all_digits(rows: Sequence[Difference]) -> Table:
    """Return a table of the attributes of differences."""
    names = [field.name for field in fields(Difference)]
    return Table(
        names, [[getattr(row, name) for name in names] for row in rows]
    )
