"""How many seeds and test images a study needs, from the spread of a pilot."""

from dataclasses import dataclass, replace
from typing import Dict, List, Optional

import numpy as np
from scipy.stats import chi2

from ..evaluation import ResampledFigures
from ..evaluation.intervals import CrossedVariance
from ..utils.tables import Cell, Table
from .report import common_seeds

# Most seeds that a plan names.
MOST_SEEDS = 1000
# Test images of a plan, as multiples of the pilot's.
FACTORS = (1, 2, 4, 8)
# A variance estimated from few seeds is as likely too small as too large. The
# upper limit that it stays below with this chance is the usual one for sample
# sizes from pilots (R. H. Browne, "On the Use of a Pilot Sample for Sample
# Size Determination", Statistics in Medicine 14, 1995).
CAUTION = 0.8


@dataclass(frozen=True)
class StudyPlan:
    """Sizes of a study whose intervals reach no further than a target.

    Attributes:
        target: Half the width of the 95 % interval of a difference, in points
            of AP.
        figure: Name of the figure.
        images: Number of the pilot's test images.
        variances: Variance of the difference from the first config, by name
            of the other config, in AP.
    """

    target: float
    figure: str
    images: int
    variances: Dict[str, CrossedVariance]

    def seeds(
        self, name: str, factor: float = 1, cautious: bool = False
    ) -> Optional[int]:
        """Return the number of seeds that a comparison needs.

        Args:
            name (str): Name of the config that is compared with the first.
            factor (float): Test images, as a multiple of the pilot's. Default:
                1.
            cautious (bool): Whether the variances over seeds have their upper
                limits of 80 % in place of their estimates. Default: False.

        Returns:
            int or None: Number of seeds, the smallest that is enough; None if
            a thousand are not.
        """
        variance = self.variances[name]
        if cautious:
            variance = _at_upper_limits(variance)
        units = round(variance.units * factor)
        low, high = 2, MOST_SEEDS
        if self._reach(variance, high, units) > self.target:
            return None
        while low < high:
            middle = (low + high) // 2
            if self._reach(variance, middle, units) > self.target:
                low = middle + 1
            else:
                high = middle
        return low

    @staticmethod
    def _reach(variance: CrossedVariance, seeds: int, units: int) -> float:
        """Return how far an interval reaches, in points."""
        return 100 * variance.reach(seeds, units)

    def table(self) -> Table:
        """Return a row for each comparison and number of test images."""
        header = [
            'compared',
            'pilot seeds',
            'pilot interval',
            'test images',
            'seeds',
            'seeds, cautious',
        ]
        rows: List[List[Cell]] = []
        for name, variance in self.variances.items():
            for factor in FACTORS:
                needed = (
                    self.seeds(name, factor),
                    self.seeds(name, factor, cautious=True),
                )
                rows.append(
                    [
                        name,
                        variance.sides[0].seeds,
                        f'±{100 * variance.reach():.2f}',
                        round(self.images * factor),
                        *(
                            f'over {MOST_SEEDS}' if each is None else each
                            for each in needed
                        ),
                    ]
                )
        return Table(header, rows)

    def text(self) -> str:
        """Return what the table says, as sentences."""
        sentences = [
            f'Seeds of each config for a 95 % interval of ±{self.target:g} '
            f'points of {self.figure}, by the spread over seeds and test '
            'images in these results. A few seeds tell a spread roughly: '
            '"cautious" takes the upper limit that it stays below with a '
            f'chance of {100 * CAUTION:.0f} %.'
        ]
        for name, variance in self.variances.items():
            effect = sum(side.effect for side in variance.sides)
            interaction = sum(side.interaction for side in variance.sides)
            parts = [
                100 * np.sqrt(part)
                for part in (effect, interaction, variance.images)
            ]
            sentences.append(
                f'{name}: the difference varies by {parts[0]:.2f} points from '
                f'seed to seed, by {parts[1]:.2f} because each training '
                f'fails on other images, and by {parts[2]:.2f} with the '
                'choice of the images (standard deviations).'
            )
        return '\n\n'.join(sentences)


def plan_sizes(
    figures: Dict[str, Dict[int, ResampledFigures]],
    baseline: str,
    figure: str,
    target: float,
) -> StudyPlan:
    """Plan a study with a pilot's figures.

    Args:
        figures (dict): Figures of the pilot's results by config and seed
            (:func:`resample_runs`).
        baseline (str): Name of the config that the others are compared with.
        figure (str): Figure of the plan, such as "AP_small".
        target (float): How far the 95 % interval may reach to either side, in
            points of AP.

    Raises:
        ValueError: If there are no two configs with two common seeds that
            have objects of the figure.
    """
    variances = {}
    images = 0
    for name, others in figures.items():
        seeds = common_seeds(figures.get(baseline, {}), others)
        if name == baseline or len(seeds) < 2:
            continue
        one = others[seeds[0]]
        images = one.images
        values = [
            np.array([side[seed].sizes[figure] for seed in seeds])
            for side in (figures[baseline], others)
        ]
        if not np.isnan(values[0][0, 0]):
            drawn = ~np.isnan(values[0][0])
            variances[name] = CrossedVariance.of(
                values[0][:, drawn],
                values[1][:, drawn],
                one.support[figure].units,
                paired=True,
            )
    if not variances:
        raise ValueError(
            'A plan needs the results of a pilot: two configs or more with at '
            f'least two common seeds and objects of {figure}; train it first, '
            'for example with --seeds 1000 1001 1002'
        )
    return StudyPlan(target, figure, images, variances)


def _at_upper_limits(variance: CrossedVariance) -> CrossedVariance:
    """Return variances over seeds at their upper limits."""
    sides = []
    for side in variance.sides:
        freedom = side.seeds - 1
        factor = freedom / chi2.ppf(1 - CAUTION, freedom)
        sides.append(
            side._replace(
                effect=factor * side.effect,
                interaction=factor * side.interaction,
            )
        )
    return replace(variance, sides=sides)
