"""Damaged or absurd annotations and masks; see docs/security.md."""

import json
import time

import pytest
from pycocotools import mask as mask_utils

import sge_mmdet  # noqa: F401
from sge_mmdet.evaluation.annotation_files import read_ground_truth
from sge_mmdet.evaluation.bins import ALL_SIZES
from sge_mmdet.evaluation.checked_detections import make_detections
from sge_mmdet.evaluation.engines import evaluate
from sge_mmdet.evaluation.matching import match
from sge_mmdet.evaluation.result_files import read_detections
from sge_mmdet.evaluation.result_json import detections_from_coco
from tests.helpers.hostile_files import (
    SIZE,
    annotated,
    ground_truth,
    needs_weights_only,
    refusals,
    result,
)

pytestmark = needs_weights_only


DAMAGED = [
    dict(size=[10**9, 10**9], counts='0'),
    dict(size=[24], counts='0'),
    # Runs that never add up made pycocotools loop without end.
    dict(size=[*SIZE], counts='0'),
    dict(size=[*SIZE], counts='P'),
    # A run whose last character says that more follow: it read on behind.
    dict(size=[*SIZE], counts='PPPP'),
    dict(size=[*SIZE], counts=''),
    dict(size=[*SIZE], counts='\u20ac'),
    dict(size=[*SIZE], counts=7),
    None,
]


@pytest.mark.parametrize('mask', DAMAGED, ids=str)
def test_damaged_masks_of_results_are_refused(mask):
    with pytest.raises(ValueError, match=r'r\.json.*mask 0(:| has| is)'):
        detections_from_coco(
            result(segmentation=mask),
            read_ground_truth(ground_truth()),
            'r.json',
            masks=True,
        )


@pytest.mark.parametrize(
    'mask',
    [
        *DAMAGED[:-1],
        dict(size=[*SIZE], counts=[1, 2]),
        dict(size=[*SIZE], counts=[-5, 773]),
        # Outlines of 2 and 40 billion pixels, of which each takes 40 bytes.
        [[0, 0, 1e9, 0, 0, 1e9]],
        [[0, 0, 1e5, 0] * 100_000],
        [[1, 2, 3, 10**400, 5, 6]],
        [[1, 2, 3, float('nan'), 5, 6]],
        [[1, 2, 3]],
        [[]],
        [['a'] * 6],
        'text',
    ],
    ids=lambda mask: str(mask)[:40],
)
@pytest.mark.parametrize('metric', ['segm', 'bbox'])
def test_damaged_masks_of_the_truth_are_refused_where_masks_count(
    mask, metric
):
    data = read_ground_truth(annotated(segmentation=mask))
    good = dict(size=[*SIZE], counts=[0, SIZE[0] * SIZE[1]])
    found = detections_from_coco(
        result(segmentation=mask_utils.frPyObjects(good, *SIZE)),
        data,
        'r.json',
        masks=True,
    )
    if metric == 'bbox':
        assert evaluate(data, found, [], metric).ap() == pytest.approx(1)
        return
    for read in evaluate, match:
        with pytest.raises(ValueError, match=r'The ground truth.* mask'):
            read(data, found, [ALL_SIZES], metric)


def test_outlines_are_bounded_together_as_well():
    """Of 0.1 MB, pycocotools would draw 60 million pixels and keep them."""
    side = 30_000
    entry = dict(
        ground_truth()['annotations'][0],
        segmentation=[
            [0, side / 2, side / 2, 0, side, side / 2, side / 2, side]
        ],
    )
    held = read_ground_truth(
        ground_truth(
            images=[dict(id=1, height=side, width=side)],
            annotations=[dict(entry, id=i) for i in range(400)],
        )
    )
    with pytest.raises(
        ValueError,
        match='the outlines of the first 201 of '
        '400 objects are longer than 12000000 pixels',
    ):
        held.masks  # noqa: B018


@pytest.mark.parametrize(
    'runs', [[0, 10**10], [0, 2**31, 0, 2**31, 0, 10**10 - 2**32]]
)
def test_masks_of_more_pixels_than_pycocotools_counts_are_refused(runs):
    """It would loop without end."""
    data = ground_truth(
        images=[dict(id=1, height=10**5, width=10**5, file_name='0.png')]
    )
    data['annotations'][0]['segmentation'] = dict(
        size=[10**5] * 2, counts=runs
    )
    held = read_ground_truth(data)
    mask = mask_utils.frPyObjects(
        dict(size=[10**5] * 2, counts=[0]), 10**5, 10**5
    )
    for check in (
        lambda: held.masks(),
        lambda: make_detections(held, [1], [1], [[0, 0, 1, 1]], [0.5], [mask]),
    ):
        with pytest.raises(ValueError, match='images of fewer than 4294967'):
            check()


def test_ids_of_equal_hashes_take_no_quadratic_time(tmp_path):
    """20,000 took 6 s; ten times as many take a hundred times as long."""
    found = [
        dict(result()[0], category_id=k * (2**61 - 1))
        for k in range(1, 20_001)
    ]
    (tmp_path / 'r.json').write_text(json.dumps(found))
    for number in 3, len(found):  # Below 64 bits, and beyond.
        (tmp_path / 'r.json').write_text(json.dumps(found[:number]))
        begin = time.monotonic()
        with pytest.raises(ValueError, match=r'r\.json .*category'):
            read_detections(
                tmp_path / 'r.json', read_ground_truth(ground_truth())
            )
        assert time.monotonic() - begin < 3


def test_categories_and_images_of_nothing_take_no_memory(tmp_path):
    """0.6 MB took 3 GB: tables of all categories by images or recalls."""
    for name, categories, images in (
        ('wide', 20_000, 10),
        ('both', 3000, 3000),
    ):
        (tmp_path / f'{name}.json').write_text(
            json.dumps(
                ground_truth(
                    images=[
                        dict(id=i, height=9, width=9) for i in range(images)
                    ],
                    categories=[
                        dict(id=i, name=str(i)) for i in range(categories)
                    ],
                )
            )
        )
    call = """
        data = read_ground_truth(path)
        found = detections_from_coco([dict(
            image_id=1, category_id=1, bbox=[1, 1, 9, 9], score=1)], data, '')
        bins = size_bins('coco')
        for engine in 'native', 'hotcoco', 'pycocotools':
            assert evaluate(data, found, bins, engine=engine).ap() > 0.99
        resample_figures(data, found, bins, resamples=100)
        raise ValueError('evaluated')"""
    assert (
        refusals(
            call, tmp_path / 'wide.json', tmp_path / 'both.json', most=150
        )
        == ['evaluated'] * 2
    )


def test_more_categories_than_any_data_set_has_are_refused():
    with pytest.raises(ValueError, match='has 50001 categories; at most 5000'):
        read_ground_truth(
            ground_truth(
                categories=[dict(id=i, name='a') for i in range(50_001)]
            )
        )


@pytest.mark.parametrize('width', [10**9, -1, 10**30, 1e400, 'wide', None])
def test_absurd_images_are_refused(width):
    data = ground_truth()
    data['images'][0]['width'] = width
    with pytest.raises(ValueError, match='height'):
        read_ground_truth(data)
