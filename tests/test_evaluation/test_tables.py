"""AP by size, against figures worked out by hand."""

import pytest

from sge_mmdet.evaluation import (
    class_table,
    evaluate,
    read_ground_truth,
    size_bins,
    size_table,
)
from sge_mmdet.evaluation.result_json import detections_from_coco

# Two small objects and a medium one.
BOXES = [[10, 10, 20, 20], [40, 40, 50, 50], [100, 10, 8, 8]]


def ground_truth(**crowds):
    return read_ground_truth(
        dict(
            images=[dict(id=1, width=200, height=200)],
            categories=[dict(id=1, name='a'), dict(id=2, name='b')],
            annotations=[
                dict(
                    id=i,
                    image_id=1,
                    category_id=1,
                    bbox=box,
                    area=box[2] * box[3],
                    iscrowd=crowds.get(f'crowd_{i}', 0),
                )
                for i, box in enumerate(BOXES)
            ],
        )
    )


def rows(table):
    return {row[0]: dict(zip(table.header[1:], row[1:])) for row in table.rows}


def by_size(boxes, of):
    detections = detections_from_coco(
        [
            dict(image_id=1, category_id=1, bbox=box, score=0.9 - i / 10)
            for i, box in enumerate(boxes)
        ],
        of,
        'results',
    )
    return rows(size_table(evaluate(of, detections, size_bins('coco'))))


def test_perfect_results_have_ap_one_and_n_a_where_no_object_is():
    sizes = by_size(BOXES, ground_truth())
    assert {name: row['objects'] for name, row in sizes.items()} == dict(
        all=3, small=2, medium=1, large=0
    )
    assert {name: row['AP'] for name, row in sizes.items()} == pytest.approx(
        dict(all=1, small=1, medium=1, large=None)
    )


def test_a_missed_small_object_lowers_ap_small_alone():
    sizes = by_size(BOXES[:2], ground_truth())
    # One of two objects is hit: precision 1 up to recall 0.5, which is 51 of
    # 101 points.
    assert sizes['small']['AP'] == pytest.approx(51 / 101)
    assert sizes['small']['AR'] == pytest.approx(1 / 2)
    assert sizes['medium']['AP'] == pytest.approx(1)
    assert sizes['all']['AP'] == pytest.approx(67 / 101)


def test_a_shifted_box_counts_at_low_thresholds_only():
    sizes = by_size([BOXES[0], [40, 40, 50, 35], BOXES[2]], ground_truth())
    # Its intersection over union is 0.7: a hit at 0.50 to 0.70, five of ten
    # thresholds.
    assert sizes['medium']['AP'] == pytest.approx(0.5)
    assert sizes['medium']['AP50'] == pytest.approx(1)
    assert sizes['medium']['AP75'] == 0


def test_crowds_are_not_counted():
    sizes = by_size(BOXES, ground_truth(crowd_2=1))
    assert sizes['small']['objects'] == 1


def test_a_class_without_objects_is_n_a():
    of = ground_truth()
    detections = detections_from_coco([], of, 'results')
    table = class_table(evaluate(of, detections, size_bins('coco')))
    assert rows(table)['a']['AP small'] == 0
    assert rows(table)['b']['AP small'] is None
    assert 'n/a' in table.text().splitlines()[-1]


def test_an_evaluation_is_shown_as_its_table():
    truth = ground_truth()
    result = evaluate(
        truth,
        detections_from_coco([], truth, 'result'),
        size_bins('coco'),
    )
    assert str(result) == size_table(result).text()
    assert result._repr_html_() == size_table(result).html()
    assert result.table(classes=True) == class_table(result)


def test_an_evaluation_is_a_dataframe():
    pytest.importorskip('pandas')
    truth = ground_truth()
    result = evaluate(
        truth,
        detections_from_coco([], truth, 'result'),
        size_bins('coco'),
    )
    frame = result.to_dataframe().set_index('size')
    assert frame.loc['small', 'AP'] == 0
    assert [*result.to_dataframe(classes=True)['class']] == ['a', 'b']
