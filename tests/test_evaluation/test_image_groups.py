"""Groups of images that are resampled as wholes."""

import json
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest

from sge_mmdet.evaluation import (
    compare_detections,
    read_ground_truth,
    size_bins,
)
from sge_mmdet.evaluation.bootstrap import resample_weights
from sge_mmdet.evaluation.image_groups import warn_of_sources, with_groups
from sge_mmdet.evaluation.result_json import detections_from_coco
from tests.helpers.random_coco import random_coco

BINS = size_bins([0, 10, float('inf')])


def scenes(names, key=None):
    """Return an annotation file's content with the file names."""
    data, _ = random_coco(1, images=len(names))
    for i, (image, name) in enumerate(zip(data['images'], names)):
        image['file_name'] = name
        if key:
            image[key] = i // 2
    return data


NAMES = [f'scene{i}/{j:03}.jpg' for i in range(3) for j in range(2)]


@pytest.mark.parametrize('by', ['video_id', r'^(scene\d)/', 'groups.json'])
def test_groups_come_from_a_key_a_pattern_or_a_file(tmp_path, monkeypatch, by):
    monkeypatch.chdir(tmp_path)
    data = scenes(NAMES, 'video_id')
    ids = [str(image['id']) for image in data['images']]
    # By file name or by image id.
    named = dict(zip([*NAMES[:3], *ids[3:]], 'aabbcc'))
    (tmp_path / 'groups.json').write_text(json.dumps(named))
    ground_truth = with_groups(read_ground_truth(data), by, data)
    assert ground_truth.groups.tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    'by, words',
    [
        ('scene', r'scene, among the keys of "images" \(file_name, height'),
        ('(city.*)_', r"does not match 6 of 6 file names, such as 'scene0/0"),
        ('(scene', 'not a valid regular expression'),
        ('(?:scene)', 'no group in parentheses'),
        ('(scene)', 'puts all 6 images into one group'),
        ('some.json', r"no group for 5 of 6 images, such as 'scene0/001"),
        ('list.json', r'list.json: expected an object that maps'),
    ],
)
def test_images_without_groups_are_named(tmp_path, monkeypatch, by, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'some.json').write_text(json.dumps({NAMES[0]: 1}))
    (tmp_path / 'list.json').write_text('[1]')
    data = scenes(NAMES)
    with pytest.raises(ValueError, match=words):
        with_groups(read_ground_truth(data), by, data)


def test_groups_are_drawn_as_wholes():
    groups = np.array([0, 1, 1, 2, 0])
    weights = resample_weights(5, 300, 0, groups)
    assert (weights[:, 0] == weights[:, 4]).all()
    assert (weights[:, 1] == weights[:, 2]).all()
    assert (weights[:, [0, 1, 3]].sum(1) == 3).all()
    assert len(np.unique(weights, axis=0)) == 10


def test_groups_of_equal_images_give_the_interval_of_one_of_each():
    """Two copies of each image, as one group, tell no more than one."""
    data, results = random_coco(1, images=30)
    copies = dict(
        data,
        images=[
            dict(image, id=2 * image['id'] + i)
            for image in data['images']
            for i in range(2)
        ],
        annotations=[
            dict(one, id=2 * one['id'] + i, image_id=2 * one['image_id'] + i)
            for one in data['annotations']
            for i in range(2)
        ],
    )
    copied = [
        dict(one, image_id=2 * one['image_id'] + i)
        for one in results
        for i in range(2)
    ]
    widths = []
    for truth, found, groups in (
        (data, results, None),
        (copies, copied, np.arange(60) // 2),
        (copies, copied, None),
    ):
        ground_truth = replace(read_ground_truth(truth), groups=groups)
        sides = (
            detections_from_coco(side, ground_truth, 'a')
            for side in (found, found[: len(found) // 2])
        )
        result = compare_detections(
            ground_truth, *([side] for side in sides), BINS, resamples=300
        )
        row = result['AP']
        widths.append(row.high - row.low)
    assert widths[1] == pytest.approx(widths[0], rel=0.02)
    assert widths[2] < 0.85 * widths[0]


def test_groups_are_shown():
    data, results = random_coco(1, images=30)
    ground_truth = replace(read_ground_truth(data), groups=np.arange(30) // 3)
    found = detections_from_coco(results, ground_truth, 'a')
    result = compare_detections(
        ground_truth, [found], [found], BINS, resamples=20
    )
    assert 'of 10 groups of 30 images' in result.verdict()
    assert result.table().header[-2:] == ['images', 'groups']
    assert result['AP'].units == 10 and result['AP'].images > 20


@pytest.mark.parametrize(
    'names, sources',
    [
        (NAMES, 3),
        ([f'P{i:04}__1__{x}___0.png' for i in (1, 2) for x in (0, 824)], 2),
        ([f'vid{i // 5}_frame_{i}.jpg' for i in range(20)], 4),
        ([f'{"./" * (i % 2)}a/v{i // 5}_{i}.jpg' for i in range(20)], 4),
        ([f'{i:012}.jpg' for i in range(20)], None),
        ([f'COCO_val2014_{i:012}.jpg' for i in range(20)], None),
        ([f'{letter}.jpg' for letter in 'abcdef'], None),
        ([''] * 6, None),
    ],
)
def test_names_like_frames_or_tiles_are_warned_of(names, sources):
    data = scenes(names)
    ground_truth = read_ground_truth(data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        warn_of_sources(ground_truth)
        warn_of_sources(replace(ground_truth, groups=np.arange(len(names))))
    texts = [str(one.message) for one in caught]
    assert len(texts) == (sources is not None)
    for text in texts:
        assert re.search(f'of {sources} sources, such as .*--group-by', text)
