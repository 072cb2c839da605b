from dataclasses import replace

import numpy as np
import pytest

from sge_mmdet.evaluation.intervals import CrossedVariance, crossed_interval
from sge_mmdet.evaluation.resampled_figures import ResampledFigures, Support
from sge_mmdet.study import plan_sizes


def draw(rng, seeds, units, effect, interaction, images, resamples=400):
    """Draw figures of a crossed model: a row of resampled means a seed."""
    of_image = rng.normal(0, images, units)
    values = (
        rng.normal(0, effect, (seeds, 1))
        + of_image
        + rng.normal(0, interaction, (seeds, units))
    )
    picked = rng.integers(units, size=(resamples, units))
    resampled = values[:, picked].mean(-1)
    return np.hstack([values.mean(1, keepdims=True), resampled])


def figures(values, units):
    support = Support(units, units, units)
    return {
        seed: ResampledFigures(
            {'AP_small': row}, {}, units, 'AP_small', {'AP_small': support}
        )
        for seed, row in enumerate(values)
    }


def pilot(seeds=40, units=300, **spread):
    rng = np.random.default_rng(0)
    difference = draw(rng, seeds, units, **spread)
    shared = 0.4 + draw(rng, seeds, units, 0.05, 0.1, 0.1)
    return dict(
        none=figures(shared, units), SGE=figures(shared + difference, units)
    )


def test_plan_names_the_fewest_seeds_whose_interval_reaches_the_target():
    plan = plan_sizes(
        pilot(effect=0.01, interaction=0.05, images=0.05),
        'none',
        'AP_small',
        0.7,
    )
    (variance,) = plan.variances.values()
    needed = plan.seeds('SGE')
    assert 100 * variance.reach(needed, 300) <= 0.7
    assert 100 * variance.reach(needed - 1, 300) > 0.7
    # More images leave the seeds' own effect, and cannot need more seeds.
    assert 2 <= plan.seeds('SGE', 8) <= needed
    assert plan.seeds('SGE', cautious=True) > needed


def test_planned_study_has_an_interval_of_the_target():
    spread = dict(effect=0.012, interaction=0.06, images=0.04)
    plan = plan_sizes(pilot(**spread), 'none', 'AP_small', 0.7)
    needed = plan.seeds('SGE')
    rng = np.random.default_rng(1)
    reached = []
    for _ in range(40):
        b = draw(rng, needed, 300, **spread)
        interval = crossed_interval(0 * b, b, 300, paired=True)
        reached.append(100 * (interval.high - interval.low) / 2)
    assert np.median(reached) == pytest.approx(0.7, abs=0.12)


def test_no_number_of_seeds_makes_up_for_few_images():
    results = pilot(units=40, effect=0.001, interaction=0.01, images=0.3)
    plan = plan_sizes(results, 'none', 'AP_small', 0.7)
    assert plan.seeds('SGE') is None
    assert plan.seeds('SGE', 400) is not None
    assert plan.table().rows[0][-2:] == ['over 1000', 'over 1000']


def test_plan_needs_two_configs_with_two_common_seeds():
    results = pilot(seeds=3, effect=0.01, interaction=0.05, images=0.05)
    results['SGE'] = {2: results['SGE'][2], 7: results['SGE'][1]}
    with pytest.raises(ValueError, match='at least two common seeds'):
        plan_sizes(results, 'none', 'AP_small', 0.7)


def test_error_of_a_plan_is_that_of_the_interval_at_its_own_size():
    rng = np.random.default_rng(2)
    b = draw(rng, 5, 100, effect=0.01, interaction=0.05, images=0.05)
    variance = CrossedVariance.of(0 * b, b, 100, paired=True)
    interval = crossed_interval(0 * b, b, 100, paired=True)
    assert variance.reach() == pytest.approx(
        (interval.high - interval.low) / 2
    )
    assert variance.reach(5, 100) == variance.reach()
    still = replace(variance, images=0.0, sides=[])
    assert still.reach() == 0
