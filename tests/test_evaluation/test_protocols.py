"""Each protocol against its published rules in plain loops."""

import numpy as np
import pytest

import sge_mmdet
from sge_mmdet.evaluation import read_ground_truth
from sge_mmdet.evaluation.protocols import PROTOCOLS, find_protocol
from sge_mmdet.evaluation.result_json import detections_from_coco
from tests.helpers import protocol_oracle
from tests.helpers.random_coco import random_coco

DATA_SETS = 50


def protocol_data(name, seed):
    """Return ground truth and results with all that a protocol minds."""
    random = np.random.default_rng(seed)
    ground_truth, results = random_coco(seed, ties=bool(seed % 2))
    scale = (1, 2, 5)[seed % 3]
    for image in ground_truth['images']:
        image.update(width=60 * scale, height=40 * scale)
    for entry in (*ground_truth['annotations'], *results):
        entry['bbox'] = [scale * value for value in entry['bbox']]
        if 'area' in entry:
            # The published IoD of TinyPerson needs the area of the box.
            entry['area'] = entry['bbox'][2] * entry['bbox'][3]
    for entry in ground_truth['annotations']:
        entry['ignore'] = bool(random.random() < 0.15)
        entry['uncertain'] = int(random.random() < 0.1)
        if name == 'tinyperson':
            entry['iscrowd'] = 0
    keys = [entry['id'] for entry in ground_truth['categories']]
    if name == 'visdrone':
        add_regions(ground_truth, random, scale)
    if name == 'lvis':
        for entry in ground_truth['categories']:
            entry['frequency'] = str(random.choice(['r', 'c', 'f']))
        for image in ground_truth['images']:
            for key in 'neg', 'not_exhaustive':
                image[f'{key}_category_ids'] = [
                    k for k in keys if random.random() < 0.3
                ]
    return ground_truth, results


def add_regions(ground_truth, random, scale):
    """Add ignored regions and the category of other things."""
    ground_truth['categories'] += [
        dict(id=0, name='ignored regions'),
        dict(id=99, name='others'),
    ]
    images = ground_truth['images']
    for i in range(random.integers(0, 2 + 2 * len(images))):
        box = random.integers(0, 12 * scale, 4)
        ground_truth['annotations'].append(
            dict(
                id=1000 + i,
                image_id=images[random.integers(len(images))]['id'],
                category_id=int(random.choice([0, 0, 0, 99])),
                bbox=[int(value) for value in box],
                area=float(box[2] * box[3]),
                iscrowd=0,
            )
        )


def ours(result):
    """Return the figures of a result under the oracle's keys."""
    figures = dict(result.figures)
    for name in list(figures):
        if name.startswith('AR'):
            del figures[name]
    for bin in result.bins:
        for iou in [None, *result.thresholds]:
            figures['AP', bin.name, iou] = result.ap(iou, bin.name)
            for number in result.max_dets:
                figures['AR', bin.name, iou, number] = result.ar(
                    bin.name, max_dets=number, iou=iou
                )
    return figures


def same(got, want):
    """Compare figures; keys of IoU thresholds may differ in the last digit."""

    def rounded(figures):
        return {
            key
            if isinstance(key, str)
            else tuple(
                round(part, 6) if isinstance(part, float) else part
                for part in key
            ): value
            for key, value in figures.items()
        }

    got, want = rounded(got), rounded(want)
    assert {*got} == {*want}
    for key, value in want.items():
        assert got[key] == (
            value if value is None else pytest.approx(value, abs=1e-10)
        ), key


@pytest.mark.parametrize('name', PROTOCOLS)
def test_every_figure_is_that_of_the_published_rules(name):
    compared = 0
    for seed in range(DATA_SETS):
        data = protocol_data(name, seed)
        want = protocol_oracle.evaluate(name, *data)
        for engine in 'hotcoco', 'pycocotools':
            result = sge_mmdet.evaluate(*data, protocol=name, engine=engine)
            try:
                same(ours(result), want)
            except AssertionError as error:
                raise AssertionError(f'data set {seed}, {engine}') from error
        compared += want['AP', 'all', None] is not None
    assert compared > DATA_SETS / 2
