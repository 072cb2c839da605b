import json
import warnings

import numpy as np
import pytest

from sge_mmdet.evaluation import evaluate, read_ground_truth, size_bins
from sge_mmdet.evaluation.engines import ENGINES
from sge_mmdet.evaluation.result_json import detections_from_coco
from tests.helpers.random_coco import random_coco


def good_ground_truth():
    return dict(
        images=[
            dict(id=7, height=30, width=40, file_name='a.png'),
            dict(id=3, height=30, width=40),
        ],
        categories=[dict(id=9, name='cat'), dict(id=4, name='dog')],
        annotations=[
            dict(
                id=1,
                image_id=7,
                category_id=9,
                bbox=[1, 2, 3, 4],
                area=10,
                iscrowd=0,
            ),
            dict(
                id=2,
                image_id=3,
                category_id=4,
                bbox=[0, 0, 5, 5],
                area=25,
                iscrowd=1,
            ),
        ],
    )


def good_result(**changes):
    return dict(
        dict(image_id=3, category_id=4, bbox=[1, 1, 2, 2], score=0.5),
        **changes,
    )


def test_ids_become_positions_in_the_order_of_the_ids():
    ground_truth = read_ground_truth(good_ground_truth())
    assert ground_truth.category_names == ['dog', 'cat']
    assert ground_truth.image.tolist() == [0, 1]
    assert ground_truth.category.tolist() == [1, 0]
    assert ground_truth.crowd.tolist() == [False, True]
    detections = detections_from_coco([good_result()], ground_truth, 'r.json')
    assert (
        detections.image[0],
        detections.category[0],
        detections.area[0],
    ) == (1, 0, 4)


def test_chosen_categories_alone_are_kept():
    ground_truth = read_ground_truth(good_ground_truth(), ['cat'])
    assert (
        ground_truth.category_names == ['cat'] and len(ground_truth.image) == 1
    )


def test_box_areas_take_the_place_of_annotated_ones():
    assert read_ground_truth(
        good_ground_truth()
    ).with_box_areas().area.tolist() == [
        12,
        25,
    ]


def change(ground_truth, key, at, **values):
    ground_truth[key][at].update(values)
    return ground_truth


@pytest.mark.parametrize(
    'ground_truth, words',
    [
        ([], 'got a list, as in a file of results'),
        (dict(images=[], annotations=[]), 'no list "categories"'),
        (
            change(good_ground_truth(), 'images', 0, id=3),
            'unique ids of images; 1 ids occur more',
        ),
        (change(good_ground_truth(), 'annotations', 0, id=2), 'such as 2'),
        (
            change(good_ground_truth(), 'images', 0, id='7'),
            'annotation 1 has an "image_id" that is not in "images"',
        ),
        (
            change(good_ground_truth(), 'categories', 0, id=4),
            'ids of categories',
        ),
        (
            change(good_ground_truth(), 'annotations', 1, image_id=5),
            'annotation 2 has an "image_id" that is not in',
        ),
        (
            change(good_ground_truth(), 'annotations', 1, category_id=5),
            'annotation 2 has a "category_id" that is not in',
        ),
        (
            change(good_ground_truth(), 'annotations', 0, bbox=[1, 2, -3, 4]),
            'annotation 1 has a box',
        ),
        (
            change(
                good_ground_truth(),
                'annotations',
                0,
                bbox=[1, 2, float('nan'), 4],
            ),
            'annotation 1 has a box',
        ),
        (change(good_ground_truth(), 'annotations', 0, bbox=[1, 2]), 'bbox'),
        *(
            (
                change(good_ground_truth(), 'annotations', 1, iscrowd=crowd),
                'annotation 2 has an iscrowd that is not 0 or 1',
            )
            for crowd in ('0', 2, [0], None, float('nan'))
        ),
        (
            dict(good_ground_truth(), annotations=[dict(id=1, image_id=7)]),
            "lacks the key 'category_id'",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_ground_truth_with_a_fault_is_named(tmp_path, ground_truth, words):
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(ground_truth))
    with pytest.raises(ValueError, match=words) as caught:
        read_ground_truth(path)
    assert 'truth.json' in str(caught.value)


@pytest.mark.parametrize(
    'key, at, changes, words',
    [
        (
            'images',
            0,
            dict(height='30'),
            "height or width: expected a number, got '30'",
        ),
        ('images', 0, dict(height=True), 'expected a number, got True'),
        (
            'images',
            0,
            dict(width=40.5),
            r'image 7 has .* \[30.0, 40.5\], expected whole',
        ),
        (
            'images',
            0,
            dict(id=True),
            'ids of images .* whole numbers .* got True',
        ),
        ('categories', 0, dict(name=['cat']), r"name: .* got \['cat'\]"),
        (
            'annotations',
            0,
            dict(area='12'),
            "area: expected a number, got '12'",
        ),
        (
            'annotations',
            0,
            dict(area=True),
            'area: expected a number, got True',
        ),
        (
            'annotations',
            0,
            dict(area=float('nan')),
            'area that is not 0 or more',
        ),
        (
            'annotations',
            0,
            dict(bbox=[1, 2, '3', 4]),
            "expected a number, got '3'",
        ),
        (
            'annotations',
            0,
            dict(bbox=[1, 2, False, 4]),
            'expected a number, got False',
        ),
        (
            'annotations',
            0,
            dict(bbox='1234'),
            "expected a list of 4 numbers, got '1234'",
        ),
        ('annotations', 0, dict(image_id=True), 'whole number, got True'),
        ('annotations', 0, dict(image_id=[[7]]), r'got \[<list>\]'),
        ('annotations', 0, dict(category_id='9'), "whole number, got '9'"),
    ],
    ids=str,
)
def test_text_and_booleans_are_no_numbers(key, at, changes, words):
    with pytest.raises(ValueError, match=words):
        read_ground_truth(change(good_ground_truth(), key, at, **changes))


@pytest.mark.parametrize(
    'changes, words',
    [
        (dict(score='0.5'), "expected a number, got '0.5'"),
        (dict(score=True), 'expected a number, got True'),
        (dict(bbox=['1', 1, 2, 2]), "expected a number, got '1'"),
        (dict(bbox=[True, 1, 2, 2]), 'expected a number, got True'),
        (dict(image_id='3'), "whole number, got '3'"),
        (dict(category_id='4'), "whole number, got '4'"),
        (
            dict(category_id='\x1b[2J' * 99),
            r"whole number, got '\?\[2J.*\.\.\.'",
        ),
    ],
    ids=str,
)
def test_text_and_booleans_are_no_numbers_in_results(changes, words):
    ground_truth = read_ground_truth(good_ground_truth())
    with pytest.raises(ValueError, match=words) as caught:
        detections_from_coco(
            [good_result(), good_result(**changes)], ground_truth, 'r.json'
        )
    assert len(str(caught.value)) < 300


def test_areas_beyond_the_image_and_flags_count_as_pycocotools_counts_them():
    """Both are in data sets that MMDetection trains on."""
    ground_truth = good_ground_truth()
    for annotation, area in zip(ground_truth['annotations'], (1e9, 1e11)):
        annotation.update(area=area, iscrowd=False)
    read = read_ground_truth(ground_truth)
    assert read.area.tolist() == [1e9, 1e11] and not read.crowd.any()
    detections = detections_from_coco(
        [
            good_result(),
            good_result(image_id=7, category_id=9, bbox=[1, 2, 3, 4]),
        ],
        read,
        'r.json',
    )
    figures = [
        evaluate(read, detections, size_bins('coco'), engine=engine)
        for engine in ENGINES
    ]
    for size in 'all', 'small', 'large':
        assert figures[0].ap(size=size) == figures[1].ap(size=size)
    # COCO looks at areas up to 10^10.
    assert figures[0].count('large') == 1 and figures[0].count('small') == 0


def test_names_are_told_apart_and_safe_to_print():
    names = ['cat', 'cat', 'a' * 999, '\x1b[2Jcat\n', '\u4f60\u597d']
    ground_truth = dict(
        good_ground_truth(),
        annotations=[],
        categories=[dict(id=i, name=name) for i, name in enumerate(names)],
    )
    assert read_ground_truth(ground_truth).category_names == [
        'cat (id 0)',
        'cat (id 1)',
        f'{"a" * 200}...',
        '?[2Jcat?',
        '\u4f60\u597d',
    ]
    assert read_ground_truth(
        ground_truth, names[2:4]
    ).category_ids.tolist() == [2, 3]


def test_missing_category_and_missing_area_are_said():
    with pytest.raises(ValueError, match=r'no category cow; it has cat, dog'):
        read_ground_truth(good_ground_truth(), ['cow'])
    ground_truth = good_ground_truth()
    del ground_truth['annotations'][0]['area']
    with pytest.warns(UserWarning, match='1 annotations have no "area"'):
        assert read_ground_truth(ground_truth).area.tolist() == [12, 25]


@pytest.mark.parametrize(
    'results, words',
    [
        ({}, 'a list of detections, .* got a dict'),
        ([dict(image_id=3)], "lacks the key 'category_id'"),
        (
            [good_result(image_id=4)],
            'detections in image 4, which the ground truth does',
        ),
        (
            [good_result(category_id=1)],
            'category 1, which the ground truth does not have',
        ),
        (
            [good_result(category_id=0)],
            'category 0, which .*tested on. Its categories are 4 to 9; labels '
            'that count from 0 on must be turned into ids',
        ),
        (
            [good_result(image_id='3')],
            "image_id: expected a whole number, got '3'; the ground truth has "
            'numbers such as 7',
        ),
        (
            [good_result(category_id='2')],
            "got '2'; the ground truth has numbers such as 9",
        ),
        (
            [good_result(), good_result(score=float('nan'))],
            'number 1: .* score nan',
        ),
        (
            [good_result(bbox=[1, 1, float('inf'), 2])],
            '1 detections .* finite',
        ),
        ([good_result(bbox=[1, 1, -1, 2])], 'negative size'),
        ([good_result(bbox=[1, 1, 2])], 'bbox'),
        ([good_result(score='high')], "expected a number, got 'high'"),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_result_with_a_fault_is_named(results, words):
    with pytest.raises(ValueError, match=words) as caught:
        detections_from_coco(
            results, read_ground_truth(good_ground_truth()), 'r.json'
        )
    assert 'r.json' in str(caught.value)


def test_mask_of_another_size_is_named():
    ground_truth = good_ground_truth()
    masks = dict(size=[20, 40], counts='PPY14')
    with pytest.raises(
        ValueError,
        match=r'mask 0: expected .* \[30, 40\], as .* got \[20, 40\]',
    ):
        detections_from_coco(
            [good_result(segmentation=masks)],
            read_ground_truth(ground_truth),
            'r.json',
            masks=True,
        )


def test_no_detections_and_no_objects_are_empty_columns():
    ground_truth = read_ground_truth(dict(good_ground_truth(), annotations=[]))
    detections = detections_from_coco([], ground_truth, 'r.json')
    assert len(ground_truth.image) == len(detections.image) == 0
    assert ground_truth.box.shape == detections.box.shape == (0, 4)
    assert ground_truth.area.dtype == np.float64


@pytest.mark.parametrize(
    'change, words',
    [
        # Two corners, and shares of the image.
        (lambda x, y, w, h: [x, y, x + w + 30, y + h], 'beyond their image'),
        (lambda x, y, w, h: [x / 99, y / 99, w / 99, h / 99], 'one pixel'),
        (lambda x, y, w, h: [x, y, w + 1, h + 1], None),
    ],
)
def test_boxes_in_another_layout_are_warned_of(change, words):
    truth, results = random_coco(1, images=12)
    moved = [dict(one, bbox=change(*one['bbox'])) for one in results]
    objects = [
        dict(one, bbox=change(*one['bbox'])) for one in truth['annotations']
    ]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        detections_from_coco(moved, read_ground_truth(truth), 'results')
        read_ground_truth(dict(truth, annotations=objects))
    texts = [str(one.message) for one in caught]
    assert [words in text for text in texts] == [True] * 2 * bool(words)


def test_boxes_of_images_of_unknown_size_are_not_judged():
    truth, results = random_coco(1, images=12)
    for image in truth['images']:
        image.update(width=0, height=0)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        detections_from_coco(results, read_ground_truth(truth), 'results')
