"""Results of tiles, merged into their source images."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from pycocotools import mask as mask_utils

from sge_mmdet.evaluation import (
    Detections,
    Merging,
    merge_tiles,
    read_detections,
    read_ground_truth,
    read_tiles,
    size_bins,
)
from sge_mmdet.evaluation import evaluate as evaluate_detections
from sge_mmdet_cli.compare import main as compare
from sge_mmdet_cli.evaluate import main as evaluate
from tests.helpers.engines import ENGINES

SIDE, STEP = 60, 40


def overlap(a, b, kind):
    """Return the overlap of two boxes (x1, y1, x2, y2)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    whole = min(areas) if kind == 'ios' else sum(areas) - common
    return common / whole if whole else 0


def plain_merge(rows, merging):
    """Return merged (image, class, score, box) of rows, box by box."""
    merged = []
    left = sorted(rows, key=lambda row: -row[2])
    while left:
        image, kind, score, box = left.pop(0)
        grown, others = box, []
        for row in left:
            if row[:2] != (image, kind) or (
                overlap(box, row[3], merging.overlap) < merging.threshold
            ):
                others.append(row)
            elif merging.method == 'nmm' and (
                overlap(grown, row[3], merging.overlap) >= merging.threshold
            ):
                grown = (
                    min(grown[0], row[3][0]),
                    min(grown[1], row[3][1]),
                    max(grown[2], row[3][2]),
                    max(grown[3], row[3][3]),
                )
        merged.append((image, kind, score, grown))
        left = others
    return sorted(merged)


def source_data(images=2):
    """Return ground truth of images of 100 x 100 pixels."""
    random = np.random.default_rng(0)
    annotations = []
    for i in range(images):
        for x, y in random.integers(0, 80, (6, 2)).tolist():
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=10 * i + 3,
                    category_id=7 + len(annotations) % 2,
                    bbox=[x, y, 20, 18],
                    area=360,
                    iscrowd=0,
                )
            )
    return dict(
        images=[
            dict(
                id=10 * i + 3,
                file_name=f'val/P{i}.png',
                width=100,
                height=100,
            )
            for i in range(images)
        ],
        categories=[dict(id=7, name='a'), dict(id=8, name='b')],
        annotations=annotations,
    )


FORMS = {
    'sahi': 'P{i}_{x}_{y}_{x2}_{y2}.png',
    'dota': 'tiles/P{i}__60__{x}___{y}.png',
    'dota 1': 'P{i}__1__{x}___{y}.png',
    'name_x_y': 'P{i}_{x}_{y}.jpg',
}


def tile_data(form, images=2):
    """Return tiles of 60 x 60 pixels that overlap by 20."""
    places = [
        (i, x, y) for i in range(images) for y in (0, STEP) for x in (0, STEP)
    ]
    return dict(
        images=[
            dict(
                id=j + 1,
                file_name=form.format(i=i, x=x, y=y, x2=x + SIDE, y2=y + SIDE),
                width=SIDE,
                height=SIDE,
            )
            for j, (i, x, y) in enumerate(places)
        ]
    ), places


def cut(data, places):
    """Return perfect results on tiles: parts of objects of 5 pixels on."""
    results = []
    for entry in data['annotations']:
        x, y, width, height = entry['bbox']
        for j, (i, left, top) in enumerate(places):
            x1, y1 = max(x - left, 0), max(y - top, 0)
            x2 = min(x + width - left, SIDE)
            y2 = min(y + height - top, SIDE)
            if entry['image_id'] == 10 * i + 3 and min(x2 - x1, y2 - y1) > 5:
                results.append(
                    dict(
                        image_id=j + 1,
                        category_id=entry['category_id'],
                        bbox=[x1, y1, x2 - x1, y2 - y1],
                        score=1 - len(results) / 1000,
                    )
                )
    return results


@pytest.fixture
def files(tmp_path):
    data = source_data()
    tiles, places = tile_data(FORMS['name_x_y'])
    contents = dict(truth=data, tiles=tiles, results=cut(data, places))
    for name, content in contents.items():
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    return tmp_path


@pytest.mark.parametrize('form', FORMS)
def test_places_come_from_file_names(tmp_path, form):
    tiles, places = tile_data(FORMS[form])
    path = tmp_path / 'tiles.json'
    path.write_text(json.dumps(tiles))
    for pattern in None, form.split()[0]:
        found = read_tiles(path, read_ground_truth(source_data()), pattern)
        np.testing.assert_array_equal(
            np.column_stack([found.source, found.offset]), places
        )
        assert (found.rate == 1).all()


def test_places_come_from_a_pattern_or_from_the_entries(tmp_path):
    ground_truth = read_ground_truth(source_data())
    path = tmp_path / 'tiles.json'
    tiles, places = tile_data('y{y}-x{x}-P{i}.png')
    path.write_text(json.dumps(tiles))
    pattern = r'y(?P<y>\d+)-x(?P<x>\d+)-(?P<name>.*)'
    found = read_tiles(path, ground_truth, pattern)
    np.testing.assert_array_equal(found.offset, np.array(places)[:, 1:])
    for entry, (i, x, y) in zip(tiles['images'], places):
        # By file name or by id.
        source = f'val/P{i}.png' if x else 10 * i + 3
        entry.update(source=source, x=x, y=y)
    path.write_text(json.dumps(tiles))
    found = read_tiles(path, ground_truth)
    np.testing.assert_array_equal(
        np.column_stack([found.source, found.offset]), places
    )


def test_tiles_of_images_of_another_rate_are_scaled_back(tmp_path):
    tiles, _ = tile_data('P{i}__0.5__{x}___{y}.png')
    path = tmp_path / 'tiles.json'
    path.write_text(json.dumps(tiles))
    found = read_tiles(path, read_ground_truth(source_data()))
    detections = Detections(
        np.array([3]),
        np.array([0]),
        np.array([[1.0, 2, 3, 4]]),
        np.array([0.5]),
        np.array([12.0]),
    )
    merged = merge_tiles(found, detections)
    np.testing.assert_allclose(merged.box, [[82, 84, 6, 8]])
    assert merged.area.tolist() == [48]


@pytest.mark.parametrize('method', ['nmm', 'nms'])
@pytest.mark.parametrize('kind', ['ios', 'iou'])
@pytest.mark.parametrize('threshold', [0.2, 0.5])
def test_merging_is_that_of_plain_loops(tmp_path, method, kind, threshold):
    ground_truth = read_ground_truth(source_data(3))
    tiles, places = tile_data(FORMS['sahi'], 3)
    path = tmp_path / 'tiles.json'
    path.write_text(json.dumps(tiles))
    random = np.random.default_rng(1)
    number = 300
    box = random.uniform(0, 40, (number, 4))
    found = Detections(
        random.integers(0, len(places), number),
        random.integers(0, 2, number),
        box,
        random.permutation(number) / number,
        box[:, 2] * box[:, 3],
    )
    merging = Merging(method, kind, threshold)
    got = merge_tiles(read_tiles(path, ground_truth), found, merging)
    rows = []
    for t, k, s, (x, y, width, height) in zip(
        found.image.tolist(),
        found.category.tolist(),
        found.score.tolist(),
        box.tolist(),
    ):
        i, left, top = places[t]
        x, y = x + left, y + top
        rows.append((i, k, s, (x, y, x + width, y + height)))
    want = plain_merge(rows, merging)
    corners = np.c_[got.box[:, :2], got.box[:, :2] + got.box[:, 2:]]
    have = sorted(
        zip(
            got.image.tolist(),
            got.category.tolist(),
            got.score.tolist(),
            map(tuple, corners.tolist()),
        )
    )
    assert len(want) <= number - 20
    assert [row[:3] for row in have] == [row[:3] for row in want]
    np.testing.assert_allclose(
        [row[3] for row in have], [row[3] for row in want]
    )


def test_nothing_is_merged_into_nothing(files):
    tiles = read_tiles(
        files / 'tiles.json', read_ground_truth(files / 'truth.json')
    )
    empty = Detections(
        *(np.zeros(0, int),) * 2, np.zeros((0, 4)), *(np.zeros(0),) * 2
    )
    assert merge_tiles(tiles, empty).box.shape == (0, 4)


def test_whole_objects_are_found_again_in_both_tools(files, capsys):
    """Ground truth of the source images, results of their tiles."""
    args = ['--merge-tiles', str(files / 'tiles.json')]
    truth, results = str(files / 'truth.json'), str(files / 'results.json')
    evaluate([truth, results, *args, '--tile-merging', 'nmm', 'ios', '0.1'])
    shown = capsys.readouterr().out
    assert 'in 2 of 2 images' in shown
    compare(
        [
            *(results, results, '--ground-truth', truth, *args, 'name_x_y'),
            *('--resamples', '5'),
        ]
    )
    assert 'AP_small' in capsys.readouterr().out
    with pytest.raises(SystemExit, match='does not belong to this'):
        evaluate([truth, results])


def test_results_of_a_pickle_are_merged_too(files):
    ground_truth = read_ground_truth(files / 'truth.json')
    tiles = read_tiles(files / 'tiles.json', ground_truth)
    results = [
        dict(
            img_id=i + 1,
            ori_shape=(SIDE, SIDE),
            pred_instances=dict(
                bboxes=torch.tensor([[1.0, 2, 11, 12]]),
                scores=torch.tensor([0.5]),
                labels=torch.tensor([i % 2]),
            ),
        )
        for i in range(8)
    ]
    path = files / 'results.pkl'
    path.write_bytes(pickle.dumps(results))
    merged = merge_tiles(
        tiles, read_detections(path, tiles.ground_truth, 'bbox')
    )
    np.testing.assert_allclose(
        sorted(map(tuple, merged.box.tolist())),
        sorted(
            (x + 1, y + 2, 10, 10)
            for _ in range(2)
            for x in (0, 40)
            for y in (0, 40)
        ),
    )


@pytest.mark.parametrize(
    'change, words',
    [
        (dict(file_name='Q0_0_0.jpg'), "'Q0_0_0.jpg' of a tile does not tell"),
        (dict(source='Q.png', x=0, y=0), "the source 'Q.png', which is no"),
        (dict(source=3, x='a', y=0), 'expected "x" and "y" of the tile'),
        (dict(source=3, x=0, y=0, rate=0), 'expected "x" and "y" of the'),
        (dict(source=[3], x=0, y=0), r'the source \[3\], which is no'),
    ],
)
def test_tiles_without_a_place_are_named(files, change, words):
    tiles = json.loads((files / 'tiles.json').read_text())
    tiles['images'] = [dict(tiles['images'][0], **change)]
    (files / 'tiles.json').write_text(json.dumps(tiles))
    with pytest.raises(ValueError, match=words):
        read_tiles(
            files / 'tiles.json', read_ground_truth(files / 'truth.json')
        )


@pytest.mark.parametrize(
    'args, words',
    [
        (['tiles.json', '(?P<name>.*'], 'is not a valid regular expression'),
        (['tiles.json', '(.*)_(.*)'], 'or a regular expression with the gro'),
        (['tiles.json', 'sahi'], 'does not tell its place .* as sahi'),
        (['tiles.json', 'a', 'b'], 'at most one pattern, got 3 words'),
        (['results.json'], 'expected a JSON file with a list "images"'),
        (['none.json'], 'There is no file'),
        (['tiles.json', '--tile-merging', 'nmm', 'ios', 'x'], "got 'x'"),
        (['tiles.json', '--tile-merging', 'a', 'ios', '1'], 'the method of'),
        (['tiles.json', '--tile-merging', 'nmm', 'a', '1'], 'the overlap of'),
        (['tiles.json', '--tile-merging', 'nmm', 'ios', '2'], 'above 0 and'),
    ],
    ids=str,
)
def test_wrong_options_are_named(files, monkeypatch, args, words):
    monkeypatch.chdir(files)
    with pytest.raises(SystemExit, match=words):
        evaluate(['truth.json', 'results.json', '--merge-tiles', *args])


def random_masks(random, places, sizes, number):
    """Return tile, offset, drawn mask and RLE of some blobs on tiles."""
    rows = []
    for _ in range(number):
        t = int(random.integers(len(places)))
        height, width = sizes[t]
        drawn = np.zeros((height, width), np.uint8)
        y, x = random.integers(0, height - 3), random.integers(0, width - 3)
        part = drawn[y : y + random.integers(2, 12), x : x + 9]
        part[:] = random.random(part.shape) < 0.8
        part[0, 0] = 1
        rows.append((t, drawn, mask_utils.encode(np.asfortranarray(drawn))))
    return rows


@pytest.mark.parametrize('method', ['nmm', 'nms'])
def test_masks_become_unions_in_the_source_image(tmp_path, method):
    truth = source_data(2)
    ground_truth = read_ground_truth(truth)
    tiles, places = tile_data(FORMS['sahi'], 2)
    path = tmp_path / 'tiles.json'
    path.write_text(json.dumps(tiles))
    read = read_tiles(path, ground_truth)
    random = np.random.default_rng(0)
    rows = random_masks(
        random, places, read.ground_truth.image_sizes.tolist(), 60
    )
    found = Detections(
        np.array([row[0] for row in rows]),
        np.zeros(60, int),
        mask_utils.toBbox([row[2] for row in rows]),
        random.permutation(60) / 60,
        mask_utils.area([row[2] for row in rows]).astype(float),
        [row[2] for row in rows],
    )
    got = merge_tiles(read, found, Merging(method))
    boxes = merge_tiles(
        read, replace(found, segmentation=None), Merging(method)
    )
    np.testing.assert_array_equal(got.box, boxes.box)
    assert len(got.image) < 60

    def on_canvas(row):
        t, drawn, _ = row
        i, left, top = places[t]
        height, width = ground_truth.image_sizes[i]
        canvas = np.zeros((height + 100, width + 100), np.uint8)
        canvas[top : top + len(drawn), left : left + drawn.shape[1]] = drawn
        return i, canvas[:height, :width]

    placed = [on_canvas(row) for row in rows]
    merged = 0
    for k, (i, mask) in enumerate(zip(got.image, got.segmentation)):
        union = mask_utils.decode(mask)
        assert union.shape == tuple(ground_truth.image_sizes[i])
        assert got.area[k] == union.sum()
        inside = [
            canvas
            for j, canvas in placed
            if j == i and canvas.any() and not (canvas & ~union & 1).any()
        ]
        # A union is made of whole masks of tiles, one if none is merged.
        assert (np.maximum.reduce(inside) == union).all()
        merged += len(inside) > 1
    assert merged > 3 if method == 'nmm' else True


def test_mask_beyond_its_source_image_is_cut_off(tmp_path):
    truth = source_data(1)
    ground_truth = read_ground_truth(truth)
    height, width = ground_truth.image_sizes[0].tolist()
    tile = dict(
        id=1,
        file_name='t.png',
        width=8,
        height=8,
        source=truth['images'][0]['id'],
        x=width - 5,
        y=height - 3,
    )
    path = tmp_path / 'tiles.json'
    path.write_text(json.dumps(dict(images=[tile])))
    mask = mask_utils.encode(np.ones((8, 8), np.uint8, order='F'))
    found = Detections(
        np.zeros(1, int),
        np.zeros(1, int),
        np.array([[0.0, 0, 8, 8]]),
        np.ones(1),
        np.full(1, 64.0),
        [mask],
    )
    got = merge_tiles(read_tiles(path, ground_truth), found)
    drawn = mask_utils.decode(got.segmentation[0])
    assert drawn.sum() == 15 and drawn[-3:, -5:].all()


def test_masks_of_tiles_at_another_size_are_refused(files):
    ground_truth = read_ground_truth(files / 'truth.json')
    tiles = read_tiles(files / 'tiles.json', ground_truth)
    detections = read_detections(
        files / 'results.json', tiles.ground_truth, 'bbox'
    )
    masked = replace(detections, segmentation=[None] * len(detections.image))
    halved = replace(tiles, rate=tiles.rate / 2)
    with pytest.raises(ValueError, match=r'is at 0\.5 times the size'):
        merge_tiles(halved, masked)


def test_tiles_of_a_config_are_refused(files):
    with pytest.raises(SystemExit, match='needs ground truth of the source'):
        evaluate(['a.py', 'b.pth', '--merge-tiles', str(files / 'tiles.json')])


@pytest.mark.parametrize('engine', ENGINES)
def test_merged_masks_can_be_evaluated(tmp_path, engine):
    """An object that two tiles cut in parts is found as a whole."""
    truth = source_data(1)
    # The first one lies where all tiles of the image overlap.
    truth['annotations'][0]['bbox'] = [35, 30, 30, 25]
    for each in truth['annotations']:
        x, y, w, h = each['bbox']
        each['segmentation'] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    ground_truth = read_ground_truth(truth)
    drawn = mask_utils.decode(
        mask_utils.merge(
            mask_utils.frPyObjects(
                truth['annotations'][0]['segmentation'], 100, 100
            )
        )
    )
    tiles, places = tile_data(FORMS['sahi'], 1)
    path = tmp_path / 'tiles.json'
    path.write_text(json.dumps(tiles))
    results = []
    for t, (_, x, y) in enumerate(places):
        part = np.asfortranarray(drawn[y : y + SIDE, x : x + SIDE])
        if part.any():
            mask = mask_utils.encode(part)
            results.append(
                dict(
                    image_id=t + 1,
                    category_id=truth['annotations'][0]['category_id'],
                    bbox=mask_utils.toBbox(mask).tolist(),
                    score=0.9 - t / 10,
                    segmentation=dict(mask, counts=mask['counts'].decode()),
                )
            )
    file = tmp_path / 'results.json'
    file.write_text(json.dumps(results))
    read = read_tiles(path, ground_truth)
    found = read_detections(file, read.ground_truth, 'segm')
    merged = merge_tiles(read, found, Merging(threshold=0.05))
    only = replace(
        ground_truth,
        **{
            name: getattr(ground_truth, name)[:1]
            for name in ('image', 'category', 'box', 'area', 'crowd')
        },
        segmentation=ground_truth.segmentation[:1],
    )
    result = evaluate_detections(
        only, merged, size_bins('coco'), 'segm', engine=engine
    )
    assert len(results) > 1 and len(merged.image) == 1
    assert result.ap() == pytest.approx(1)
