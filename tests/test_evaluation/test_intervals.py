"""Intervals of known distributions, and adjusted p-values."""

import numpy as np
import pytest
from scipy.stats import norm

from sge_mmdet.evaluation.intervals import (
    benjamini_hochberg,
    crossed_interval,
    expanded_interval,
    expanded_tail,
    holm,
)


def resampled_means(values, random, resamples=200):
    """Return means over the images, then of resamples of the images.

    Args:
        values: Figures of images, of shape (..., images).
    """
    images = values.shape[-1]
    weights = random.multinomial(
        images, np.full(images, 1 / images), resamples
    )
    return np.concatenate(
        [values.mean(-1)[..., None], values @ weights.T / images], -1
    )


def test_expansion_makes_up_for_the_narrow_bootstrap():
    assert expanded_tail(10**7) == pytest.approx(0.025, abs=1e-5)
    tail = expanded_tail(10)
    # The bound of a normal mean with the bootstrap's spread of sqrt(9 / 10).
    reach = -norm.ppf(tail) * np.sqrt(9 / 10)
    assert reach == pytest.approx(2.2622, abs=1e-4)


@pytest.mark.parametrize('images', [6, 12, 40])
def test_interval_over_images_holds_the_true_difference(images):
    random = np.random.default_rng(images)
    intervals = [
        expanded_interval(
            resampled_means(random.normal(0, 1, images), random, 1000), images
        )
        for _ in range(1500)
    ]
    held = np.mean([one.low <= 0 <= one.high for one in intervals])
    assert 0.93 <= held <= 0.97
    assert 0.03 <= np.mean([one.p < 0.05 for one in intervals]) <= 0.07


def test_p_value_agrees_with_the_interval_and_is_not_bound_by_resamples():
    random = np.random.default_rng(0)
    for shift in np.linspace(0, 2, 40):
        drawn = resampled_means(random.normal(shift, 1, 20), random, 2000)
        low, high, p = expanded_interval(drawn, 20)
        if not 0.045 < p < 0.055:
            assert (p < 0.05) == (not low <= 0 <= high)
    far = resampled_means(random.normal(50, 1, 20), random, 20)
    assert expanded_interval(far, 20).p < 1e-6


def test_equal_detectors_differ_in_nothing_and_constant_ones_in_all():
    assert expanded_interval(np.zeros(9), 8) == (0, 0, 1)
    assert expanded_interval(np.full(9, 0.5), 8) == (0.5, 0.5, 0)
    same = np.full((2, 9), 0.25)
    assert crossed_interval(same, same, 8, True) == (0, 0, 1)
    assert crossed_interval(same, same + 0.5, 8, False) == (0.5, 0.5, 0)


@pytest.mark.parametrize('paired', [True, False], ids=['paired', 'unpaired'])
@pytest.mark.parametrize(
    'of_seeds, of_images, of_both',
    [(1, 1, 1), (0, 1, 1), (1, 0.5, 1), (0.2, 1, 0.2)],
)
def test_interval_over_images_and_seeds_holds_and_is_not_too_wide(
    of_seeds, of_images, of_both, paired
):
    """Figures with known spreads, of five seeds and 40 images."""
    seeds, images = 5, 40
    random = np.random.default_rng(0)
    held, widths = [], []
    for _ in range(500):
        shape = (2, seeds, images)
        a, b = (
            random.normal(0, of_seeds, (2, seeds, 1))
            + random.normal(0, of_images * images**0.5, (2, 1, images))
            + random.normal(0, of_both * images**0.5, shape)
        )
        # A part that both sides of a pair share cancels in their
        # difference.
        shared = random.normal(0, 3, (seeds, 1)) if paired else 0
        sides = resampled_means(np.stack([a + shared, b + shared]), random)
        low, high, p = crossed_interval(*sides, images, paired)
        held.append(low <= 0 <= high)
        widths.append(high - low)
        assert (p < 0.05) != held[-1]
    error = (2 * (of_images**2 + (of_seeds**2 + of_both**2) / seeds)) ** 0.5
    assert 0.925 <= np.mean(held) <= 0.98
    assert np.mean(widths) <= 1.2 * 2 * 1.96 * error


def test_adjusted_p_values_are_those_of_their_definitions():
    p = [0.01, 0.04, None, 0.03, 0.5]
    assert holm(p) == [
        pytest.approx(0.04),
        pytest.approx(0.09),
        None,
        pytest.approx(0.09),
        pytest.approx(0.5),
    ]
    assert benjamini_hochberg(p) == [
        pytest.approx(0.04),
        pytest.approx(0.16 / 3),
        None,
        pytest.approx(0.16 / 3),
        pytest.approx(0.5),
    ]
    assert holm([]) == [] and benjamini_hochberg([None]) == [None]
    assert holm([0.9, 0.8]) == [1, 1]
