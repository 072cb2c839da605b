"""Intervals and p-values of a difference that was resampled.

One result of each detector has the expanded percentile interval over images.
Several results, one per training seed, have an interval of a crossed model of
images and seeds. The p-values of many rows are adjusted together.
"""

from dataclasses import dataclass
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

# Level of all intervals.
LEVEL = 0.95


class Interval(NamedTuple):
    """A 95 % interval of a difference.

    Attributes:
        low: Lower bound.
        high: Upper bound.
        p: Two-sided p-value of the hypothesis of no difference.
    """

    low: float
    high: float
    p: float


def expanded_tail(units: int, level: float = LEVEL) -> float:
    r"""Return the share of resamples beyond a bound of the interval.

    The plain percentile interval is too narrow for few images: the bootstrap
    divides by n where an unbiased variance divides by n - 1, and it uses the
    normal distribution's quantile where Student's t is right. The expanded
    percentile interval makes up for both. The percentile of its lower bound is

    .. math:: \alpha' = \Phi\left(
        -\sqrt{n / (n - 1)} \; t_{n - 1,\, 1 - \alpha / 2} \right)

    instead of :math:`\alpha / 2`, as T. Hesterberg proposes in "What Teachers
    Should Know About the Bootstrap", The American Statistician 69(4), 2015.
    Here n is the number of images (or groups of images) that hold objects of
    the figure, because the others tell little about it.

    Args:
        units (int): Number of images or groups with such objects, at least
            two.
        level (float): Level of the interval. Default: 0.95.

    Returns:
        float: Share of the resamples below the lower bound.

    Examples:
        >>> round(expanded_tail(10_000), 3), round(expanded_tail(10), 3)
        (0.025, 0.009)
    """
    quantile = _distributions().stdtrit(units - 1, (1 + level) / 2)
    return float(
        _distributions().ndtr(-np.sqrt(units / (units - 1)) * quantile)
    )


def expanded_interval(drawn: np.ndarray, units: int) -> Interval:
    """Return the expanded percentile interval of resampled differences.

    The p-value inverts the interval: it is 1 minus the level of the widest
    interval without zero. Where zero is beyond all resamples, the smallest
    p-value that so many of them can show would be too large for many
    comparisons, and Student's t continues the tail.

    Args:
        drawn (np.ndarray): Difference on all images, then in the resamples, of
            shape (1 + resamples,).
        units (int): Number of images or groups with such objects, at least
            two.

    Returns:
        Interval: Bounds and p-value.
    """
    difference, resampled = float(drawn[0]), drawn[1:]
    tail = expanded_tail(units)
    low, high = np.quantile(resampled, [tail, 1 - tail])
    beyond = min((resampled <= 0).sum(), (resampled >= 0).sum())
    share = min(0.5, (beyond + 1) / (len(resampled) + 1))
    widened = np.sqrt(units / (units - 1))
    quantile = _distributions().ndtri(share) / widened
    if not beyond:
        error = widened * np.std(resampled, ddof=1)
        # Without any spread, the difference is the same in all resamples.
        quantile = min(
            quantile, -abs(difference) / error if error > 0 else -np.inf
        )
    p = 2 * _distributions().stdtr(units - 1, quantile)
    return Interval(float(low), float(high), float(p))


class SeedVariance(NamedTuple):
    """Variance between training seeds, in two parts.

    Attributes:
        effect: Variance over the seeds that images have no part in.
        interaction: Variance over the seeds that comes from the choice of
            images: each training fails on other images.
        seeds: Number of seeds that tell about both.
    """

    effect: float
    interaction: float
    seeds: int


@dataclass(frozen=True)
class CrossedVariance:
    """Variance of a difference over images and training seeds.

    A figure of a seed has an effect of the seed, one of the images, and their
    interaction. The variance over the seeds holds the interaction already,
    and so does the variance over resamples. The interaction is therefore
    subtracted once. It is what resampling changes in one seed and not in the
    mean over the seeds.

    Attributes:
        sides: Variances of the seeds' differences, or of each detector's
            seeds if they are not paired.
        images: Variance that the choice of images alone adds.
        units: Number of images or groups that tell about it.
    """

    sides: Sequence[SeedVariance]
    images: float
    units: int

    @classmethod
    def of(
        cls, a: np.ndarray, b: np.ndarray, units: int, paired: bool
    ) -> 'CrossedVariance':
        """Estimate the variances.

        Args:
            a (np.ndarray): Figure of the first detector on all images and on
                the resamples, of shape (seeds, 1 + resamples), with two seeds
                or more.
            b (np.ndarray): Figure of the second detector, in the same form.
            units (int): Number of images or groups with such objects, at
                least two.
            paired (bool): Whether row i of both has the same training seed.
        """
        # The bootstrap's variances are too small by this factor.
        narrow = units / (units - 1)
        images = narrow * np.var((b.mean(0) - a.mean(0))[1:], ddof=1)
        sides = []
        for side in [b - a] if paired else [a, b]:
            interaction = narrow * _interaction(side)
            effect = max(np.var(side[:, 0], ddof=1) - interaction, 0)
            images -= interaction / len(side)
            sides.append(SeedVariance(effect, interaction, len(side)))
        return cls(sides, max(images, 0), units)

    def error(
        self, seeds: Optional[int] = None, units: Optional[int] = None
    ) -> Tuple[float, float]:
        """Return the standard error and its degrees of freedom.

        The variances are estimated from few seeds and images. Student's t,
        with the degrees of freedom of Welch and Satterthwaite, accounts for
        that. The images tell about the interaction as well, which therefore
        has twice the degrees of freedom; that kept the intervals closest to
        95 % in tools/dev/simulate_coverage.py.

        Args:
            seeds (int, optional): Number of seeds of another study with the
                same variances. Default: None, those that were measured.
            units (int, optional): Its number of images or groups. Default:
                None, those that were measured.

        Returns:
            tuple[float, float]: Standard error of the difference, and degrees
            of freedom; NaN if nothing varies.
        """
        scale = self.units / (units or self.units)
        parts = []
        for side in self.sides:
            number = seeds or side.seeds
            parts += [
                (side.effect / number, number - 1),
                (scale * side.interaction / number, 2 * (number - 1)),
            ]
        parts.append((scale * self.images, (units or self.units) - 1))
        variance = sum(part for part, _ in parts)
        if not variance > 0:
            return 0.0, np.nan
        freedom = variance**2 / sum(part**2 / df for part, df in parts)
        return float(np.sqrt(variance)), float(freedom)

    def reach(
        self, seeds: Optional[int] = None, units: Optional[int] = None
    ) -> float:
        """Return how far the 95 % interval reaches to either side.

        Args:
            seeds (int, optional): As in :meth:`error`. Default: None.
            units (int, optional): As in :meth:`error`. Default: None.
        """
        error, freedom = self.error(seeds, units)
        return error * _quantile(freedom) if error else 0.0


def crossed_interval(
    a: np.ndarray, b: np.ndarray, units: int, paired: bool
) -> Interval:
    """Return the interval of a difference over images and training seeds.

    Args:
        a (np.ndarray): Figure of the first detector, as in
            :meth:`CrossedVariance.of`.
        b (np.ndarray): Figure of the second detector, in the same form.
        units (int): Number of images or groups with such objects, at least
            two.
        paired (bool): Whether row i of both has the same training seed.

    Returns:
        Interval: Bounds and p-value.
    """
    difference = float(b[:, 0].mean() - a[:, 0].mean())
    error, freedom = CrossedVariance.of(a, b, units, paired).error()
    if not error:
        return Interval(difference, difference, float(difference == 0))
    reach = error * _quantile(freedom)
    return Interval(
        difference - reach,
        difference + reach,
        float(2 * _distributions().stdtr(freedom, -abs(difference) / error)),
    )


def _distributions() -> Any:
    """Return the module with distribution functions and their inverses.

    ndtr and ndtri are those of the normal distribution, stdtr and stdtrit
    those of Student's t. The import takes longer than that of all else here.
    """
    from scipy import special

    return special


def _quantile(freedom: float) -> float:
    return float(_distributions().stdtrit(freedom, (1 + LEVEL) / 2))


def _interaction(side: np.ndarray) -> float:
    """Return the bootstrap's variance of the seeds around their mean.

    Args:
        side (np.ndarray): Figures of shape (seeds, 1 + resamples).
    """
    changes = side[:, 1:] - side[:, :1]
    return float(np.var(changes, axis=0, ddof=1).mean())


def holm(p: Sequence[Optional[float]]) -> List[Optional[float]]:
    """Adjust p-values so that any false finding has a chance of 5 %.

    S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.

    Args:
        p (Sequence[float or None]): P-values, None where there is none.

    Returns:
        list[float or None]: Adjusted p-values.

    Examples:
        >>> holm([0.01, None, 0.04])
        [0.02, None, 0.04]
    """
    given, order = _sorted(p)
    factors = np.arange(len(order), 0, -1)
    adjusted = np.maximum.accumulate(factors * given[order])
    return _in_place(p, order, adjusted)


def benjamini_hochberg(p: Sequence[Optional[float]]) -> List[Optional[float]]:
    """Adjust p-values so that 5 % of the findings are expected to be false.

    Y. Benjamini and Y. Hochberg, "Controlling the False Discovery Rate", 1995.

    Args:
        p (Sequence[float or None]): P-values, None where there is none.

    Returns:
        list[float or None]: Adjusted p-values.

    Examples:
        >>> benjamini_hochberg([0.01, None, 0.04])
        [0.02, None, 0.04]
    """
    given, order = _sorted(p)
    factors = len(order) / np.arange(1, len(order) + 1)
    adjusted = np.minimum.accumulate((factors * given[order])[::-1])[::-1]
    return _in_place(p, order, adjusted)


def _sorted(p: Sequence[Optional[float]]) -> 'tuple[np.ndarray, np.ndarray]':
    """Return the p-values that there are, and their ascending order."""
    given = np.array([value for value in p if value is not None], float)
    return given, np.argsort(given, kind='stable')


def _in_place(
    p: Sequence[Optional[float]], order: np.ndarray, adjusted: np.ndarray
) -> List[Optional[float]]:
    """Return adjusted p-values in the places of the plain ones.

    Args:
        p (Sequence[float or None]): Plain p-values.
        order (np.ndarray): Ascending order of those that there are.
        adjusted (np.ndarray): Adjusted p-values, ascending.
    """
    placed = np.empty(len(order))
    placed[order] = np.minimum(adjusted, 1)
    values = iter(placed.tolist())
    return [None if value is None else next(values) for value in p]
