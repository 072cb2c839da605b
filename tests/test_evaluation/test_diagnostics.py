"""Operating points, costs of errors, calibration and confusions by size."""

import json
from dataclasses import replace

import numpy as np
import pytest

import sge_mmdet
from sge_mmdet.evaluation import (
    diagnose_detections,
    find_operating_points,
    read_ground_truth,
    size_bins,
)
from sge_mmdet.evaluation.bins import ALL_SIZES, with_all_sizes
from sge_mmdet.evaluation.hotcoco_engine import hotcoco_evaluation
from sge_mmdet.evaluation.result_json import detections_from_coco
from sge_mmdet.evaluation.settings import Settings
from tests.helpers.plain_diagnostics import (
    plain_confusion,
    plain_costs,
    plain_points,
)
from tests.helpers.random_coco import random_coco

BINS = size_bins([0, 8, 14, float('inf')])
# Kinds of errors, as hotcoco names them.
NAMES = {
    'Loc': 'localisation',
    'Cls': 'class',
    'Both': 'both',
    'Dupe': 'duplicate',
    'Bkg': 'background',
    'Miss': 'missed',
    'FP': 'false positive',
    'FN': 'false negative',
}


def data_sets(number, crowds=True):
    """Yield random data sets, every other one with ties in the scores."""
    for seed in range(number):
        truth, results = random_coco(seed, images=seed % 5 + 1)
        if not crowds:
            for entry in truth['annotations']:
                entry['iscrowd'] = 0
        if seed % 2:
            for entry in results:
                entry['score'] = round(entry['score'], 1)
        ground_truth = read_ground_truth(truth)
        yield ground_truth, detections_from_coco(results, ground_truth, 'r')


def without(structure, number=0):
    """Return the structure with so many objects or detections."""
    names = {'image', 'category', 'box', 'area', 'score', 'crowd'}
    return replace(
        structure,
        **{
            name: getattr(structure, name)[:number]
            for name in names & {*vars(structure)}
        },
    )


def test_operating_points_are_those_of_a_search_over_all_thresholds():
    tried = 0
    for ground_truth, detections in data_sets(40):
        points = find_operating_points(ground_truth, detections, BINS)
        for bin in with_all_sizes(BINS):
            for k in [None, *range(len(ground_truth.category_ids))]:
                every, objects = plain_points(ground_truth, detections, bin, k)
                check_point(points.curve(bin.name, k), every, objects)
                tried += bool(every and objects)
    assert tried > 200


def check_point(curve, every, objects):
    assert curve.objects == objects
    best = curve.best()
    if not objects:
        assert best is None and curve.recall_at(1) is None
        return
    f1 = [2 * hits / (hits + false + objects) for _, hits, false in every]
    assert best.f1 == pytest.approx(max(f1, default=0))
    if best.f1:
        score, hits, false = every[int(np.argmax(f1))]
        assert best.score == score
        assert best.precision == pytest.approx(hits / (hits + false))
        assert best.recall == pytest.approx(hits / objects)
        assert best.false_per_image == pytest.approx(false / curve.images)
    else:
        assert best.score is None and best.recall == 0
    for number in 0, 0.25, 1, 3:
        allowed = number * curve.images
        assert curve.recall_at(number) == pytest.approx(
            max(
                (hits for _, hits, false in every if false <= allowed),
                default=0,
            )
            / objects
        )


def test_costs_of_errors_are_those_of_plain_loops():
    kinds = dict.fromkeys(NAMES.values(), 0)
    for data in data_sets(40):
        for cost in diagnose_detections(*data, BINS).costs:
            ap, gains, counts = plain_costs(*data, cost.bin)
            assert cost.counts == counts
            assert cost.ap == pytest.approx(ap)
            assert cost.gains == pytest.approx(gains, abs=1e-12)
            for name, gain in gains.items():
                kinds[name] += gain > 0
    assert all(kinds.values())


def test_no_error_means_an_object_that_a_protocol_ignores():
    boxes = [0, 0, 10, 10], [50, 50, 10, 10]
    annotations = [
        dict(
            id=number,
            image_id=1,
            category_id=1,
            bbox=box,
            area=100,
            iscrowd=0,
        )
        for number, box in enumerate(boxes, 1)
    ]
    ground_truth = read_ground_truth(
        dict(
            images=[dict(id=1, width=99, height=99)],
            categories=[dict(id=1, name='thing')],
            annotations=annotations,
        )
    )
    # It overlaps the first object by a third.
    near = [dict(image_id=1, category_id=1, bbox=[5, 0, 10, 10], score=0.9)]
    detections = detections_from_coco(near, ground_truth, 'results')
    # Protocols give objects that they ignore such an area.
    ignored = replace(ground_truth, area=np.array([1e11, 100]))
    for data, kind in (
        (ground_truth, 'localisation'),
        (ignored, 'background'),
    ):
        counts = diagnose_detections(data, detections, BINS).costs[0].counts
        assert {name for name in counts if counts[name]} == {kind, 'missed'}


def test_costs_of_all_sizes_are_those_of_hotcoco():
    for data in data_sets(60, crowds=False):
        run = hotcoco_evaluation(*data, Settings([ALL_SIZES], 'bbox', [0.5]))
        want = run.tide_errors()
        cost = diagnose_detections(*data, BINS).costs[0]
        assert cost.counts == {
            NAMES[name]: count for name, count in want['counts'].items()
        }
        if cost.gains:
            assert cost.ap == pytest.approx(want['ap_base'])
            assert cost.gains == pytest.approx(
                {NAMES[name]: v for name, v in want['delta_ap'].items()}
            )


def test_calibration_is_that_of_hotcoco_in_every_size():
    for ground_truth, detections in data_sets(40, crowds=False):
        found = diagnose_detections(ground_truth, detections, BINS)
        for bin, one in zip(found.bins, found.calibrations):
            want = hotcoco_evaluation(
                ground_truth, detections, Settings([bin], 'bbox', [0.5])
            ).calibration()
            assert one.counts.tolist() == [
                part['count'] for part in want['bins']
            ]
            assert (one.expected_error or 0) == pytest.approx(want['ece'])
            assert (one.largest_error or 0) == pytest.approx(want['mce'])


def test_confusions_are_those_of_plain_loops_and_hotcoco():
    for seed, data in enumerate(data_sets(40, crowds=False)):
        found = diagnose_detections(*data, BINS)
        for one in found.confusions:
            np.testing.assert_array_equal(
                one.matrix,
                plain_confusion(*data, one.bin, one.score_threshold),
            )
        # hotcoco breaks ties in an order of its own.
        if seed % 2 == 0:
            one = found.confusions[0]
            run = hotcoco_evaluation(*data, Settings([ALL_SIZES]))
            np.testing.assert_array_equal(
                one.matrix,
                run.confusion_matrix(
                    max_det=1000, min_score=one.score_threshold
                )['matrix'],
            )


@pytest.mark.parametrize('empty', ['objects', 'detections', 'both'])
def test_nothing_at_all_has_no_figures(empty):
    ground_truth, detections = list(data_sets(4))[3]
    if empty != 'detections':
        ground_truth = without(ground_truth)
    if empty != 'objects':
        detections = without(detections)
    found = diagnose_detections(ground_truth, detections, BINS)
    point = found.points.best()
    if empty == 'detections':
        assert point.score is None and point.recall == 0
        assert found.costs[0].gains['missed'] == 0
    else:
        assert point is None
        assert found.costs[0].ap is None and not found.costs[0].gains
    assert 'n/a' in str(found)
    json.dumps(found.to_dict())


def test_size_that_is_not_there_is_named_with_those_that_are():
    ground_truth, detections = list(data_sets(4))[3]
    points = diagnose_detections(ground_truth, detections, BINS).points
    with pytest.raises(ValueError, match=r"one of all, .*, got 'huge'"):
        points.best('huge')


def test_scores_beyond_one_have_no_calibration():
    ground_truth, detections = list(data_sets(4))[3]
    found = diagnose_detections(
        ground_truth, replace(detections, score=5 * detections.score), BINS
    )
    assert found.calibrations == [None] * 4
    assert found.points.best().score > 0


def test_evaluate_diagnoses_only_if_asked():
    truth, results = random_coco(3, images=4)
    assert sge_mmdet.evaluate(truth, results).diagnostics is None
    result = sge_mmdet.evaluate(truth, results, sizes=BINS, diagnose=True)
    tables = result.diagnostics.tables()
    sizes = ['all', '0-8', '8-14', '14-inf']
    assert [
        row[0] for row in tables['Operating points (highest F1)'].rows
    ] == sizes
    assert [row[0] for row in tables['AP50 that errors cost'].rows] == sizes
    assert result.diagnostics.costs[0].ap == pytest.approx(result.ap(0.5))
    with pytest.raises(ValueError, match="bbox or segm, got 'proposal'"):
        sge_mmdet.evaluate(truth, results, metric='proposal', diagnose=True)


def test_masks_are_diagnosed_as_masks():
    truth, results = random_coco(7, masks=True, images=4)
    result = sge_mmdet.evaluate(
        truth, results, sizes=BINS, metric='segm', diagnose=True
    )
    assert result.diagnostics.costs[0].ap == pytest.approx(result.ap(0.5))
