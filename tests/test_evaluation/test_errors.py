import numpy as np
import pytest

from sge_mmdet.evaluation import break_down_errors as break_down
from sge_mmdet.evaluation import (
    read_ground_truth,
    size_bins,
)
from sge_mmdet.evaluation.result_json import detections_from_coco

SMALL = size_bins('coco')[0]


def break_down_errors(*data):
    """Return the errors from a fixed score on."""
    return break_down(*data, score_threshold=0.3)


def structures(objects, detections):
    """Return objects (class, box) and detections (class, box, score)."""
    ground_truth = read_ground_truth(
        dict(
            images=[dict(id=1, height=200, width=200)],
            categories=[dict(id=k, name=str(k)) for k in (1, 2)],
            annotations=[
                dict(
                    id=i + 1,
                    image_id=1,
                    category_id=kind,
                    bbox=box,
                    area=box[2] * box[3],
                    iscrowd=int(kind < 0),
                )
                for i, (kind, box) in enumerate(objects)
            ],
        )
    )
    return ground_truth, detections_from_coco(
        [
            dict(image_id=1, category_id=kind, bbox=box, score=score)
            for kind, box, score in detections
        ],
        ground_truth,
        'r',
    )


@pytest.mark.parametrize(
    'detections, miss, false',
    [
        ([], 'missed', {}),
        ([(1, [10, 10, 20, 20], 0.9)], None, {}),
        ([(1, [10, 10, 20, 20], 0.2)], 'missed', {}),
        ([(1, [20, 10, 20, 20], 0.9)], 'localisation', {'localisation': 1}),
        ([(2, [10, 10, 20, 20], 0.9)], 'class', {'class': 1}),
        ([(2, [20, 10, 20, 20], 0.9)], 'missed', {'background': 1}),
        ([(1, [90, 90, 20, 20], 0.9)], 'missed', {'background': 1}),
        (
            [(1, [10, 10, 20, 20], 0.9), (1, [11, 10, 20, 20], 0.8)],
            None,
            {'duplicate': 1},
        ),
        (
            [
                (1, [10, 10, 20, 20], 0.9),
                (2, [11, 10, 20, 20], 0.8),
                (1, [22, 10, 20, 20], 0.7),
            ],
            None,
            {'class': 1, 'localisation': 1},
        ),
        # A large false detection is no error on small objects.
        ([(1, [100, 100, 60, 60], 0.9)], 'missed', {}),
    ],
    ids=str,
)
def test_each_kind_of_error_is_counted_as_such(detections, miss, false):
    errors = break_down_errors(
        *structures([(1, [10, 10, 20, 20])], detections), SMALL
    )
    assert errors.objects == 1 and errors.hits == (miss is None)
    assert {k: n for k, n in errors.misses.items() if n} == (
        {miss: 1} if miss else {}
    )
    assert {k: n for k, n in errors.false.items() if n} == false


def test_objects_of_other_sizes_are_neither_hits_nor_misses():
    errors = break_down_errors(
        *structures([(1, [0, 0, 90, 90])], [(1, [0, 0, 90, 90], 0.9)]), SMALL
    )
    assert errors.objects == errors.hits == sum(errors.misses.values()) == 0


@pytest.mark.parametrize(
    'neighbour', [(1, [20, 10, 20, 20]), (1, [14, 6, 40, 40])], ids=str
)
def test_an_object_that_no_detection_tried_is_missed(neighbour):
    kind, box = neighbour
    objects = [(1, [10, 10, 20, 20]), neighbour]
    data = structures(objects, [(kind, box, 0.9)])
    errors = break_down_errors(*data, SMALL)
    assert errors.misses == {'localisation': 0, 'class': 0, 'missed': 1}
    np.testing.assert_array_equal(errors.missed, [0])
    # A detection that hit nothing may have been meant for it.
    tried = structures(objects, [(kind, box, 0.9), (1, [4, 10, 20, 20], 0.8)])[
        1
    ]
    assert break_down_errors(data[0], tried, SMALL).hits == sum(
        box[2] < 32 for _, box in objects
    )
    tried = structures(objects, [(kind, box, 0.9), (1, [2, 2, 20, 20], 0.8)])[
        1
    ]
    errors = break_down_errors(data[0], tried, SMALL)
    assert errors.misses == {'localisation': 1, 'class': 0, 'missed': 0}


def test_a_hit_of_another_class_explains_no_miss():
    objects = [(1, [10, 10, 20, 20]), (2, [12, 10, 20, 20])]
    errors = break_down_errors(
        *structures(objects, [(2, [12, 10, 20, 20], 0.9)]), SMALL
    )
    assert errors.misses == {'localisation': 0, 'class': 0, 'missed': 1}
    errors = break_down_errors(
        *structures(objects[:1], [(2, [12, 10, 20, 20], 0.9)]), SMALL
    )
    assert errors.misses == {'localisation': 0, 'class': 1, 'missed': 0}


def test_missed_objects_come_largest_first():
    errors = break_down_errors(
        *structures(
            [(1, [0, 0, 5, 5]), (1, [50, 50, 20, 20]), (1, [90, 0, 9, 9])], []
        ),
        SMALL,
    )
    np.testing.assert_array_equal(errors.missed, [1, 2, 0])


def test_nothing_at_all_gives_zeros():
    errors = break_down_errors(*structures([], []), SMALL)
    assert errors.objects == sum(errors.false.values()) == 0


def test_the_score_with_the_highest_f1_is_the_default_threshold():
    objects = [(1, [10, 10, 20, 20]), (1, [60, 60, 20, 20])]
    detections = [
        (1, [10, 10, 20, 20], 0.9),
        (1, [90, 10, 20, 20], 0.6),
        (1, [60, 60, 20, 20], 0.25),
        (1, [130, 10, 20, 20], 0.2),
    ]
    errors = break_down(*structures(objects, detections), SMALL)
    assert errors.score_threshold == 0.25 and errors.hits == 2
    assert errors.false['background'] == 1
    errors = break_down_errors(*structures(objects, detections), SMALL)
    assert errors.hits == 1 and errors.misses['missed'] == 1


def test_without_any_hit_the_threshold_is_fixed():
    data = structures([(1, [10, 10, 20, 20])], [(1, [90, 9, 20, 20], 0.8)])
    errors = break_down(*data, SMALL)
    assert errors.score_threshold == 0.3
    assert errors.false['background'] == 1
