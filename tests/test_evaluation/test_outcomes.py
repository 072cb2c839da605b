"""What became of objects and detections, against independent counts."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from sge_mmdet.evaluation import break_down_errors
from sge_mmdet.evaluation.bins import SizeBin
from sge_mmdet.evaluation.interactive.outcomes import (
    DETECTION_KINDS,
    find_outcomes,
)
from sge_mmdet.evaluation.synthetic import (
    Skill,
    synthetic_detections,
    synthetic_ground_truth,
)
from tests.helpers.page_counts import (
    count_outcomes,
    exchange_of,
    gained_and_lost,
    sign_flip_p,
    threshold_of_precision,
)

ALL = SizeBin('all', 0, float('inf'))


def results(seed, images=12, objects=90, classes=3):
    ground_truth = synthetic_ground_truth(images, objects, classes, seed)
    # With ties among the scores.
    detections = synthetic_detections(ground_truth, Skill(), seed)
    return ground_truth, replace(
        detections, score=np.round(detections.score, 2)
    )


@pytest.mark.parametrize('seed', range(8))
@pytest.mark.parametrize('score', [0.0, 0.25, 0.3, 0.7, 1.0])
def test_counts_of_all_sizes_are_those_of_the_breakdown(seed, score):
    ground_truth, detections = results(seed)
    outcomes = find_outcomes(ground_truth, detections)
    counts = count_outcomes(outcomes, ground_truth, detections, score)
    errors = break_down_errors(
        ground_truth, detections, ALL, score_threshold=score
    )
    assert counts['objects'] == dict(hit=errors.hits, **errors.misses)
    found = counts['detections']
    assert {kind: found[kind] for kind in errors.false} == errors.false
    assert found['hit'] == errors.hits


def test_counts_of_sizes_and_classes_add_up():
    ground_truth, detections = results(3)
    outcomes = find_outcomes(ground_truth, detections)

    def count(**filters):
        return count_outcomes(
            outcomes, ground_truth, detections, 0.3, **filters
        )

    whole = count()
    parts = [
        count(sizes=sizes, category=category)
        for sizes in ((0, 50.5), (50.6, 1e4))
        for category in range(3)
    ]
    for part in 'objects', 'detections':
        for kind, number in whole[part].items():
            assert number == sum(each[part][kind] for each in parts)


def test_detections_come_by_descending_score():
    ground_truth, detections = results(4)
    scores = detections.score[
        find_outcomes(ground_truth, detections).detection
    ]
    assert (np.diff(scores) <= 0).all() and len(scores)


def test_nothing_at_all_has_outcomes():
    ground_truth, detections = results(0)
    none = np.zeros(0, int)
    empty = replace(
        detections,
        image=none,
        category=none,
        box=np.zeros((0, 4)),
        score=np.zeros(0),
        area=np.zeros(0),
    )
    outcomes = find_outcomes(ground_truth, empty)
    counts = count_outcomes(outcomes, ground_truth, empty, 0.3)
    assert counts['objects']['missed'] == (~ground_truth.crowd).sum()
    assert sum(counts['detections'].values()) == 0


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=10))
@settings(deadline=None)
def test_exact_test_is_that_of_all_signs(differences):
    sums = [
        abs(sum(sign * x for sign, x in zip(signs, differences)))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    expected = np.mean([each >= abs(sum(differences)) for each in sums])
    assert sign_flip_p(np.array(differences)) == pytest.approx(expected)


@pytest.mark.parametrize('gained, lost', [(0, 0), (1, 0), (7, 2), (30, 41)])
def test_one_object_an_image_gives_the_test_of_mcnemar(gained, lost):
    change = np.array([1] * gained + [-1] * lost + [0] * 5)
    found = exchange_of(change, np.arange(len(change)))
    assert found[:3] == (gained, lost, gained + lost)
    n = gained + lost
    assert found.p == pytest.approx(binomtest(gained, n).pvalue if n else 1)


def test_gains_of_one_group_are_one_observation():
    change = np.ones(6, int)
    image = np.arange(6)
    assert exchange_of(change, image).p == pytest.approx(2 / 2**6)
    groups = np.array([0, 0, 0, 1, 1, 1])
    found = exchange_of(change, image, groups)
    assert found.images == 2 and found.p == pytest.approx(0.5)


def test_gained_and_lost_objects_are_those_that_one_detector_hits():
    ground_truth, first = results(5)
    second = synthetic_detections(ground_truth, Skill(recall=0.9), 50)
    a, b = (find_outcomes(ground_truth, each) for each in (first, second))
    change = gained_and_lost(a, b, 0.3, 0.4)
    assert (change == 1).sum() - (change == -1).sum() == (
        b.hit_score >= np.float32(0.4)
    ).sum() - (a.hit_score >= np.float32(0.3)).sum()
    assert {*change.tolist()} == {-1, 0, 1}


def test_threshold_of_a_precision_is_the_lowest_one():
    kinds = [
        DETECTION_KINDS.index(kind)
        for kind in ('hit', 'ignored', 'hit', 'background', 'hit', 'class')
    ]
    scores = np.array([0.9, 0.8, 0.7, 0.7, 0.4, 0.2])

    def lowest(precision):
        return threshold_of_precision(np.array(kinds), scores, precision)

    # Detections of one score are taken together.
    assert lowest(1.0) == np.float32(0.9)
    assert lowest(0.75) == np.float32(0.4)
    assert lowest(0.6) == np.float32(0.2)
    assert threshold_of_precision(np.array(kinds[3:]), scores[3:], 0.9) is None
    assert threshold_of_precision(np.zeros(0, int), np.zeros(0), 0.5) is None


@pytest.mark.parametrize('seed', range(5))
def test_exact_test_of_many_images_is_a_probability(seed):
    """The Fourier transform of a long sum errs around zero."""
    differences = np.random.default_rng(seed).integers(0, 9, 3000)
    assert 0 <= sign_flip_p(differences) < 1e-12
