"""What a debugger or a list in a notebook shows of data and results."""

import pytest

from sge_mmdet.evaluation import (
    compare_detections,
    evaluate,
    read_ground_truth,
    size_bins,
)
from sge_mmdet.evaluation.report import report_evaluation
from sge_mmdet.evaluation.result_json import detections_from_coco

BINS = size_bins('coco')


@pytest.fixture(scope='module')
def ground_truth():
    """Ten images with a small object each, and a crowd in the first one."""
    objects = [dict(image_id=i, iscrowd=0) for i in range(10)]
    objects.append(dict(image_id=0, iscrowd=1))
    return read_ground_truth(
        dict(
            images=[dict(id=i, width=200, height=200) for i in range(10)],
            categories=[dict(id=1, name='a'), dict(id=2, name='b')],
            annotations=[
                dict(one, id=i, category_id=1, bbox=[9, 9, 9, 9], area=81)
                for i, one in enumerate(objects)
            ],
        ),
        name='val.json',
    )


def hits(ground_truth, images):
    """Return detections that hit the objects of the first images."""
    return detections_from_coco(
        [
            dict(image_id=i, category_id=1, bbox=[9, 9, 9, 9], score=0.5)
            for i in range(images)
        ],
        ground_truth,
        'result',
    )


def test_data_shows_its_numbers(ground_truth):
    assert repr(ground_truth) == (
        "<GroundTruth 'val.json': images=10, categories=2, objects=10, "
        'crowds=1>'
    )
    assert repr(hits(ground_truth, 4)) == (
        '<Detections: detections=4, images=4, scores=0.500 to 0.500>'
    )
    assert repr(hits(ground_truth, 0)) == '<Detections: detections=0>'


def test_results_show_ap_of_all_and_of_small_objects(ground_truth):
    detections = hits(ground_truth, 10)
    result = evaluate(ground_truth, detections, BINS)
    assert repr(result) == (
        '<EvaluationResult: AP all=1.000, small=1.000, medium=n/a, '
        'large=n/a; objects=10>'
    )
    report = report_evaluation(ground_truth, detections, result, name='SGE\n')
    assert repr(report) == (
        '<EvaluationReport of SGE?: AP all=1.000, small=1.000; images=10, '
        'objects=10, detections=10>'
    )


def test_only_the_first_of_many_sizes_are_shown(ground_truth):
    bins = size_bins([*range(0, 100, 10), float('inf')])
    result = evaluate(ground_truth, hits(ground_truth, 10), bins)
    assert len(repr(result)) < 100


def test_comparison_shows_differences_with_their_intervals(ground_truth):
    one = hits(ground_truth, 10)
    comparison = compare_detections(
        ground_truth, [one], [one], BINS, ('none', 'SGE'), resamples=100
    )
    assert repr(comparison) == (
        '<Comparison of SGE with none: AP_small 0.0 points (0.0 to 0.0), '
        'AP 0.0 points (0.0 to 0.0); images=10>'
    )
