"""SmallObjectMetric in the place of CocoMetric, in all that the latter takes.

Masks are smaller than the images, as models with a fixed size of masks make
them.
"""

import json

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric
from pycocotools import mask as mask_utils

from sge_mmdet.evaluation import SmallObjectMetric
from tests.helpers.engines import ENGINES

KINDS = (CocoMetric, SmallObjectMetric)
SIDE = 640
BOXES = [
    [50, 60, 70, 80],
    [100, 120, 130, 150],
    [150, 160, 190, 200],
    [250, 260, 350, 360],
]
LABELS = [0, 0, 1, 0]
META = dict(classes=('car', 'bicycle'))


def rle(side, inside, plain=False):
    """Return the mask of a square in the corner of an image."""
    mask = np.zeros((side, side), np.uint8, order='F')
    mask[:inside, :inside] = 1
    encoded = mask_utils.encode(mask)
    counts = encoded['counts'].decode()
    if plain:
        runs = np.flatnonzero(np.diff(np.r_[0, mask.ravel('F'), 0]))
        counts = np.diff(np.r_[0, runs, side * side]).tolist()
    return dict(size=encoded['size'], counts=counts)


def objects(seed, sides):
    """Return annotations of an image, with masks of the sides given."""
    random = np.random.default_rng(seed)
    return [
        dict(
            id=i + 1,
            image_id=0,
            category_id=label,
            bbox=[x, y, right - x, bottom - y],
            area=(right - x) * (bottom - y),
            iscrowd=int(seed > 1 and i == 3),
            segmentation=rle(
                int(random.choice(sides)), 3 + i, bool(random.integers(2))
            ),
        )
        for i, ((x, y, right, bottom), label) in enumerate(zip(BOXES, LABELS))
    ]


def write(folder, seed=0, sides=(10,)):
    path = folder / 'truth.json'
    image = dict(id=0, width=SIDE, height=SIDE, file_name='a.jpg')
    path.write_text(
        json.dumps(
            dict(
                images=[image],
                annotations=objects(seed, sides),
                categories=[
                    dict(id=k, name=name)
                    for k, name in enumerate(META['classes'])
                ],
            )
        )
    )
    return path


def sample(seed=0, sides=(10,), **instances):
    random = np.random.default_rng(seed + 100)
    masks = [rle(int(random.choice(sides)), 3 + i) for i in range(len(BOXES))]
    for mask in masks:
        mask['counts'] = mask['counts'].encode()
    return dict(
        img_id=0,
        ori_shape=(SIDE, SIDE),
        pred_instances=dict(
            dict(
                bboxes=torch.tensor(BOXES, dtype=torch.float),
                scores=torch.tensor([1.0, 0.98, 0.96, 0.95]),
                labels=torch.tensor(LABELS),
                masks=masks,
            ),
            **instances,
        ),
    )


def both(samples, **options):
    """Return the figures of both metrics."""
    figures = []
    for kind in KINDS:
        metric = kind(**options)
        metric.dataset_meta = META
        metric.process({}, [dict(one) for one in samples])
        figures.append(metric.evaluate(size=len(samples)))
    return figures


def assert_alike(theirs, ours):
    assert theirs
    for key, value in theirs.items():
        assert ours[key] == value or np.isnan([ours[key], value]).all(), key


@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(metric='segm'),
        dict(metric=['bbox', 'segm'], classwise=True),
        dict(metric='bbox', iou_thrs=np.array([0.5])),
        dict(
            metric='segm',
            iou_thrs=np.array([0.5, 0.6]),
            metric_items=['mAP_50'],
        ),
        dict(metric='proposal', proposal_nums=[1, 2, 4]),
        dict(metric=['proposal_fast'], proposal_nums=(1, 2, 4)),
        dict(metric='segm', prefix='masks'),
        dict(use_mp_eval=True, proposal_nums=(1, 2, 3)),
        dict(use_mp_eval=True, proposal_nums=[2]),
    ],
    ids=str,
)
def test_figures_are_those_of_coco_metric(tmp_path, options):
    path = str(write(tmp_path))
    assert_alike(*both([sample()], ann_file=path, **options))


@pytest.mark.parametrize('engine', ENGINES)
def test_masks_whose_size_is_not_that_of_their_image_are_taken(
    tmp_path, engine
):
    for seed in range(8):
        sides = (10, 12, SIDE)
        path = str(write(tmp_path, seed, sides))
        theirs, ours = (
            kind(ann_file=path, metric='segm', **options)
            for kind, options in zip(KINDS, ({}, dict(engine=engine)))
        )
        figures = []
        for metric in theirs, ours:
            metric.dataset_meta = META
            metric.process({}, [sample(seed, sides)])
            figures.append(metric.evaluate(size=1))
        assert_alike(*figures)


def test_masks_as_tensors_are_taken(tmp_path):
    masks = torch.zeros(4, 10, 10, dtype=torch.uint8)
    masks[:, :5, :5] = 1
    scores = torch.tensor([0.1, 0.2, 0.3, 0.4])
    for instances in dict(masks=masks), dict(masks=masks, mask_scores=scores):
        assert_alike(
            *both(
                [sample(**instances)],
                ann_file=str(write(tmp_path)),
                metric=['bbox', 'segm'],
            )
        )


def test_ground_truth_of_the_images_has_such_masks_too():
    one = sample()
    one['instances'] = [
        dict(bbox=box, bbox_label=label, ignore_flag=0, mask=rle(10, 3 + i))
        for i, (box, label) in enumerate(zip(BOXES, LABELS))
    ]
    assert_alike(*both([one], metric=['bbox', 'segm']))


def test_annotations_of_images_and_categories_not_listed_are_not_seen(
    tmp_path,
):
    path = write(tmp_path)
    data = json.loads(path.read_text())
    extra = [
        dict(data['annotations'][0], id=8, image_id=7),
        dict(data['annotations'][0], id=9, category_id=7),
    ]
    data['annotations'] += extra
    path.write_text(json.dumps(data))
    assert_alike(*both([sample()], ann_file=str(path), classwise=True))


def test_where_coco_metric_errs_the_figures_are_right(tmp_path):
    """Of categories that are not sorted, and annotations with the id 0."""
    path = write(tmp_path)
    data = json.loads(path.read_text())
    cars = [a for a in data['annotations'] if a['category_id'] == 0]
    data.update(annotations=cars, categories=data['categories'][::-1])
    path.write_text(json.dumps(data))
    names = [category['name'] for category in data['categories']]
    cars_only = sample(labels=torch.ones(4, dtype=torch.long))
    figures = []
    for kind in KINDS:
        metric = kind(ann_file=str(path), classwise=True)
        metric.dataset_meta = dict(classes=names)
        metric.process({}, [cars_only])
        figures.append(metric.evaluate(size=1))
    theirs, ours = figures
    assert np.isnan(theirs['coco/car_precision'])
    assert ours['coco/car_precision'] > 0.5
    assert np.isnan(ours['coco/bicycle_precision'])
    path = write(tmp_path)
    data = json.loads(path.read_text())
    data['annotations'][0]['id'] = 0
    path.write_text(json.dumps(data))
    theirs, ours = both([sample()], ann_file=str(path))
    assert theirs['coco/bbox_mAP'] < ours['coco/bbox_mAP'] == 1


def test_no_detections_raise_nothing(tmp_path):
    empty = sample(
        bboxes=torch.zeros(0, 4),
        scores=torch.zeros(0),
        labels=torch.zeros(0, dtype=torch.long),
        masks=torch.zeros(0, 10, 10, dtype=torch.uint8),
    )
    for metric in 'bbox', 'segm':
        # CocoMetric has no figures then, and ours are 0.
        theirs, ours = both(
            [empty], ann_file=str(write(tmp_path)), metric=metric
        )
        assert not theirs and ours[f'coco/{metric}_mAP'] == 0


def test_wrong_options_raise_as_in_coco_metric():
    for kind in KINDS:
        with pytest.raises(KeyError, match='unknown'):
            kind(metric='unknown')
        with pytest.raises(AssertionError):
            kind(format_only=True)


def test_damaged_masks_are_refused_all_the_same(tmp_path):
    for change, words in (
        (dict(counts='0'), 'damaged counts'),
        (dict(size=[10, -10]), 'height and width'),
        (dict(size=[10**9, 10**9]), 'height and width'),
    ):
        bad = sample()
        bad['pred_instances']['masks'][1].update(change)
        metric = SmallObjectMetric(
            ann_file=str(write(tmp_path)), metric='segm'
        )
        metric.dataset_meta = META
        metric.process({}, [bad])
        with pytest.raises(ValueError, match=words):
            metric.evaluate(size=1)
