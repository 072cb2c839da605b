from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sge_mmdet.evaluation import (
    bootstrap,
    matching,
    overlaps,
    read_ground_truth,
    weighted_curves,
)
from sge_mmdet.evaluation.bins import ALL_SIZES, size_bins
from sge_mmdet.evaluation.bootstrap import (
    mean_ap,
    resample_weights,
    weighted_ap,
)
from sge_mmdet.evaluation.engines import COCO_THRESHOLDS, evaluate
from sge_mmdet.evaluation.matching import match
from sge_mmdet.evaluation.native.loading import library
from sge_mmdet.evaluation.overlaps import overlapping_pairs
from sge_mmdet.evaluation.result_json import detections_from_coco
from sge_mmdet.evaluation.synthetic import (
    Skill,
    synthetic_detections,
    synthetic_ground_truth,
)
from sge_mmdet.evaluation.weighted_curves import weighted_ap_in_numpy
from tests.helpers.random_coco import random_coco, repeated
from tests.helpers.weighted_ap import plain_weighted_ap

BINS = [ALL_SIZES, *size_bins([0, 6, 12, float('inf')])]
built = pytest.mark.skipif(
    library() is None, reason='built without a C++ compiler'
)


@pytest.fixture(params=[pytest.param('C++', marks=built), 'numpy'])
def way(request, monkeypatch):
    """How weighted AP is computed."""
    if request.param == 'numpy':
        monkeypatch.setattr(bootstrap, 'library', lambda: None)


def structures(ground_truth, results, masks=False):
    ground_truth = read_ground_truth(ground_truth)
    return ground_truth, detections_from_coco(
        results, ground_truth, 'results', masks
    )


def reference(ground_truth, detections, metric='bbox'):
    """Return pycocotools' AP as weighted_ap gives it."""
    result = evaluate(
        ground_truth, detections, BINS, metric, engine='pycocotools'
    )
    precision = result.precision[..., -1]
    return np.where(precision > -1, precision, np.nan)


@pytest.mark.parametrize('metric', ['bbox', 'segm'])
@pytest.mark.parametrize('ties', [False, True])
def test_ap_from_the_matches_is_that_of_pycocotools(metric, ties, way):
    for seed in range(60):
        ground_truth, detections = structures(
            *random_coco(seed, metric == 'segm', ties), metric == 'segm'
        )
        matches = match(ground_truth, detections, BINS, metric)
        ones = np.ones((1, len(ground_truth.image_ids)), int)
        np.testing.assert_allclose(
            weighted_ap(matches, ones)[0],
            reference(ground_truth, detections, metric),
            rtol=0,
            atol=1e-12,
            err_msg=f'seed {seed}',
        )


def test_among_equal_scores_images_go_in_the_order_of_their_ids():
    """As in COCO, not in the order of the file."""
    moved = 0
    for seed in range(20):
        ground_truth, results = random_coco(seed, ties=True, images=5)
        ground_truth['images'].reverse()
        ground_truth, detections = structures(ground_truth, results)
        ones = np.ones((1, len(ground_truth.image_ids)), int)
        np.testing.assert_allclose(
            weighted_ap(match(ground_truth, detections, BINS), ones)[0],
            reference(ground_truth, detections),
            rtol=0,
            atol=1e-12,
            err_msg=f'seed {seed}',
        )
        moved += len(detections.score) > len({*detections.score.tolist()})
    assert moved


def test_weights_are_copies_of_images():
    """Exact against evaluating a data set with the images repeated."""
    for seed in range(40):
        ground_truth, results = random_coco(seed, images=6)
        matches = match(*structures(ground_truth, results), BINS)
        for counts in resample_weights(6, 3, seed):
            got = weighted_ap(matches, counts[None])[0]
            want = reference(
                *structures(*repeated(ground_truth, results, counts))
            )
            np.testing.assert_allclose(
                got, want, rtol=0, atol=1e-12, err_msg=f'seed {seed}, {counts}'
            )


def test_many_resamples_are_those_of_one_by_one(way):
    ground_truth, detections = structures(*random_coco(5, images=8))
    matches = match(ground_truth, detections, BINS)
    weights = resample_weights(8, 20, 0)
    assert (weights.sum(1) == 8).all() and weights.max() > 1
    together = weighted_ap(matches, weights)
    for row, counts in zip(together, weights):
        np.testing.assert_allclose(
            row, weighted_ap(matches, counts[None])[0], rtol=1e-6
        )


def test_mean_leaves_out_what_has_no_object():
    ap = np.array([[[[0.2, np.nan], [0.4, 0.5]]] * 10])
    np.testing.assert_allclose(mean_ap(ap), [[0.3, 0.5]])
    assert np.isnan(mean_ap(np.full((1, 10, 2, 1), np.nan))).all()


def test_partners_are_the_objects_that_were_hit():
    ground_truth, detections = structures(*random_coco(11, images=5))
    matches = match(ground_truth, detections, BINS)
    hit = matches.status[:, 0] == 1
    partner = matches.partner[:, 0]
    assert hit.any() and (partner[hit] >= 0).all()
    for t in range(len(COCO_THRESHOLDS)):
        rows = partner[hit[:, t], t]
        assert len(rows) == len({*rows.tolist()})
        same = matches.image[hit[:, t]] == ground_truth.image[rows]
        assert same.all()
        assert (
            ground_truth.category[rows] == matches.category[hit[:, t]]
        ).all()


@pytest.mark.parametrize('metric', ['bbox', 'segm'])
def test_pairs_are_the_same_in_however_many_parts(monkeypatch, metric):
    ground_truth, detections = structures(
        *random_coco(3, metric == 'segm'), metric == 'segm'
    )
    chosen = np.flatnonzero(detections.score > 0.2)
    results = []
    monkeypatch.setattr(overlaps, 'library', lambda: None)
    for most in 10**6, 7:
        monkeypatch.setattr(overlaps, 'MOST_PAIRS', most)
        results.append(
            overlapping_pairs(ground_truth, detections, chosen, 0.1, metric)
        )
    assert len(results[0][0]) > 20
    for one, other in zip(*results):
        np.testing.assert_array_equal(one, other)
    none = overlapping_pairs(ground_truth, detections, chosen[:0], 0.1, metric)
    assert [len(column) for column in none] == [0, 0, 0]


def test_resamples_are_those_of_the_plain_accumulation(way):
    """Many images, so that resamples reach recalls exactly and nearly."""
    ground_truth = synthetic_ground_truth(120, 1300, 3, seed=4)
    detections = synthetic_detections(ground_truth, Skill(false=3), 4)
    detections = replace(detections, score=detections.score.round(2))
    matches = match(ground_truth, detections, BINS)
    weights = resample_weights(120, 40, 4)
    # Numbers of objects that make recalls such as 0.07 exact.
    fixed = np.zeros((6, 120), int)
    fixed[np.arange(6), np.arange(6)] = 100
    weights = np.concatenate([weights, fixed])
    want = plain_weighted_ap(matches, weights)
    assert ((want > 0) & (want < 1)).any((0, 2, 3)).all()
    got = [weighted_ap(matches, row[None])[0] for row in weights]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)
    np.testing.assert_allclose(weighted_ap(matches, weights), want, rtol=1e-6)


def test_batches_and_chunks_of_resamples_change_nothing(monkeypatch):
    ground_truth = synthetic_ground_truth(60, 500, 5, seed=1)
    detections = synthetic_detections(ground_truth, Skill(), 1)
    matches = match(ground_truth, detections, BINS)
    weights = resample_weights(60, 10, 0)
    want = weighted_ap_in_numpy(matches, weights)
    for batch in 1, 50:
        monkeypatch.setattr(weighted_curves, 'BATCH', batch)
        for chunk in 3, 10:
            got = weighted_ap_in_numpy(matches, weights, chunk=chunk)
            np.testing.assert_array_equal(got, want)


@built
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 30),
    resamples=st.integers(1, 40),
    largest=st.sampled_from([1, 3, 1000]),
)
def test_the_library_computes_what_numpy_does_to_the_last_bit(
    seed, images, resamples, largest
):
    ground_truth, detections = structures(*random_coco(seed, images=images))
    weights = np.random.default_rng(seed).integers(
        0, largest + 1, (resamples, len(ground_truth.image_ids))
    )
    matches = match(ground_truth, detections, BINS)
    got, want = (
        way(matches, weights) for way in (weighted_ap, weighted_ap_in_numpy)
    )
    assert got.dtype == want.dtype and got.tobytes() == want.tobytes()


@built
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    masks=st.booleans(),
    ties=st.booleans(),
    thresholds=st.lists(st.floats(0, 1), min_size=1, max_size=4),
    most=st.sampled_from([1, 2, 100]),
)
def test_the_library_matches_as_numpy_does(
    seed, masks, ties, thresholds, most
):
    data = structures(*random_coco(seed, masks, ties), masks)
    metric = 'segm' if masks else 'bbox'
    options = (BINS, metric, thresholds, most)
    got = match(*data, *options)
    alone = match(*data, *options, partners=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, 'library', lambda: None)
        want = match(*data, *options)
        assert match(*data, *options, partners=False).partner.size == 0
    for name in 'image', 'category', 'score', 'index', 'status', 'inside':
        for one in got, alone:
            np.testing.assert_array_equal(
                getattr(one, name), getattr(want, name)
            )
    np.testing.assert_array_equal(got.partner, want.partner)
    assert (got.objects != want.objects).nnz == 0
    assert alone.partner.size == 0


@built
def test_the_library_finds_the_pairs_that_numpy_finds(monkeypatch):
    for seed in range(30):
        data = structures(*random_coco(seed, ties=True))
        chosen = np.random.default_rng(seed).permutation(len(data[1].score))
        for lowest in 0.0, 0.1, 0.5:
            got = overlapping_pairs(*data, chosen, lowest)
            with monkeypatch.context() as patch:
                patch.setattr(overlaps, 'library', lambda: None)
                want = overlapping_pairs(*data, chosen, lowest)
            for one, other in zip(got, want):
                np.testing.assert_array_equal(one, other)


def test_recalls_that_rounding_moved_are_reached_as_in_coco():
    objects = np.arange(1, 401)
    hits = np.minimum(np.arange(401)[:, None], objects)
    want = (hits[..., None] / objects[:, None] >= np.linspace(0, 1, 101)).sum(
        -1
    )
    got = weighted_curves._recalls_reached(hits.astype(np.float32), objects)
    np.testing.assert_array_equal(got + 1, want)
