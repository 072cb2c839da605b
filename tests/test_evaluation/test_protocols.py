"""Each protocol against its published rules in plain loops."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pycocotools import mask as mask_utils

import sge_mmdet
from sge_mmdet.evaluation import SmallObjectMetric
from sge_mmdet.evaluation.protocols import PROTOCOLS
from sge_mmdet_cli import compare as compare_command
from sge_mmdet_cli import evaluate as evaluate_command
from tests.helpers import protocol_oracle
from tests.helpers.engines import ENGINES
from tests.helpers.pages import columns_of, content_of
from tests.helpers.random_coco import random_coco


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
def test_every_figure_is_that_of_the_published_rules(name, pytestconfig):
    compared = 0
    data_sets = max(1, pytestconfig.getoption('--data-sets') // 3)
    for seed in range(data_sets):
        data = protocol_data(name, seed)
        want = protocol_oracle.evaluate(name, *data)
        for engine in ENGINES:
            result = sge_mmdet.evaluate(*data, protocol=name, engine=engine)
            try:
                same(ours(result), want)
            except AssertionError as error:
                raise AssertionError(f'data set {seed}, {engine}') from error
        compared += want['AP', 'all', None] is not None
    assert compared > data_sets / 2


@pytest.mark.parametrize('name', PROTOCOLS)
def test_few_detections_count_as_the_protocol_counts_them(name, monkeypatch):
    rules = replace(protocol_oracle.RULES[name], numbers=[3], ap_number=3)
    monkeypatch.setitem(protocol_oracle.RULES, name, rules)
    for seed in range(12):
        data = protocol_data(name, seed)
        result = sge_mmdet.evaluate(*data, protocol=name, max_dets=3)
        same(ours(result), protocol_oracle.evaluate(name, *data))


@pytest.mark.parametrize('name', sorted({*PROTOCOLS} - {'visdrone'}))
def test_a_comparison_has_the_figures_of_the_protocol(name):
    for seed in range(8):
        data = protocol_data(name, seed)
        want = protocol_oracle.evaluate(name, *data)
        if want['AP', 'all', None] is None:
            continue
        comparison = sge_mmdet.compare(
            data[0], data[1], data[1], protocol=name, resamples=9
        )
        for row in comparison.sizes:
            size = row.name.partition('_')[2] or 'all'
            iou = float(row.name[2:]) / 100 if row.name[2:].isdigit() else None
            value = next(
                value
                for key, value in want.items()
                if key[:2] == ('AP', size)
                and (key[2] == iou or (iou and key[2] == pytest.approx(iou)))
            )
            # Resamples are in single precision.
            assert row.a == pytest.approx(value, abs=1e-6), row.name


def test_a_comparison_by_visdrone_says_that_ap_is_that_of_coco():
    data = protocol_data('visdrone', 4)
    with pytest.warns(UserWarning, match='101 recalls'):
        sge_mmdet.compare(
            data[0], data[1], data[1], protocol='visdrone', resamples=9
        )


def test_the_bins_of_a_protocol_can_be_others():
    data = protocol_data('soda-d', 2)
    sizes = [0, 8, 32]
    result = sge_mmdet.evaluate(*data, sizes, protocol='soda-d')
    assert [bin.name for bin in result.bins] == ['all', '0-8', '8-32']
    assert result.count('all') == sge_mmdet.evaluate(
        *data, protocol='soda-d'
    ).count('all')


def test_unknown_protocols_and_metrics_are_refused():
    data = protocol_data('coco', 2)
    for call in sge_mmdet.evaluate, sge_mmdet.compare:
        results = data[1:] * (1 + (call is sge_mmdet.compare))
        with pytest.raises(ValueError, match=r'coco, aitod.*got .dota'):
            call(data[0], *results, protocol='dota')
    with pytest.raises(ValueError, match=r'visdrone, .*got .voc'):
        SmallObjectMetric(protocol='voc')
    with pytest.raises(ValueError, match='tinyperson evaluates bbox'):
        sge_mmdet.evaluate(*data, metric='proposal', protocol='tinyperson')
    with pytest.raises(ValueError, match=r'"neg_category_ids".*another'):
        sge_mmdet.evaluate(*data, protocol='lvis')
    for image in data[0]['images']:
        image.update(neg_category_ids=['x'], not_exhaustive_category_ids=[])
    with pytest.raises(ValueError, match=r'neg_category_ids.*\[.x.\]'):
        sge_mmdet.evaluate(*data, protocol='lvis')


def test_regions_need_the_size_of_their_image():
    data = protocol_data('visdrone', 4)
    for image in data[0]['images']:
        image.update(width=0, height=0)
    with pytest.raises(ValueError, match='its height and width'):
        sge_mmdet.evaluate(*data, protocol='visdrone')


@pytest.mark.parametrize('name', PROTOCOLS)
def test_pages_leave_out_the_objects_that_a_protocol_ignores(name):
    for seed in range(6):
        truth, found = protocol_data(name, seed)
        result = sge_mmdet.evaluate(truth, found, protocol=name)
        every = result.bins[0]
        if not result.count(every.name):
            continue
        one = sge_mmdet.report(truth, found, protocol=name)
        two = sge_mmdet.report(truth, found, found, protocol=name, resamples=9)
        for page in one, two:
            area = columns_of(page)['object_area']
            assert every.holds(area).sum() == result.count('all')
            # An ignored object has an area beyond that of any image.
            assert (area < 1e10).all()
            names = [bin['name'] for bin in content_of(page)['bins']]
            assert names == [bin.name for bin in result.bins]


@pytest.mark.parametrize('name', PROTOCOLS)
def test_the_tools_take_protocols(name, tmp_path, capsys):
    data = protocol_data(name, 4)
    truth, found = tmp_path / 'truth.json', tmp_path / 'results.json'
    truth.write_text(json.dumps(data[0]))
    found.write_text(json.dumps(data[1]))
    files = str(truth), str(found)
    options = '--protocol', name, '--resamples', '9'
    evaluate_command.main(
        [*files, '--protocol', name, '--out-dir', str(tmp_path / 'out')]
    )
    result = sge_mmdet.evaluate(*data, protocol=name)
    assert str(result) in capsys.readouterr().out
    report = json.loads((tmp_path / 'out/evaluation.json').read_text())
    assert report['sizes'] == result.table().records()
    assert report.get('figures', {}) == pytest.approx(result.figures)
    compare_command.main(
        [files[1], files[1], '--ground-truth', files[0], *options]
    )
    assert f'AP_{result.bins[1].name}' in capsys.readouterr().out


@pytest.mark.parametrize('name', PROTOCOLS)
def test_the_metric_logs_the_figures_of_the_protocol(name, tmp_path):
    data = protocol_data(name, 4)
    figures = run_metric(data, tmp_path, protocol=name)
    result = sge_mmdet.evaluate(*data, protocol=name)
    wanted = {
        f'coco/bbox_mAP_{bin.name}': result.ap(size=bin.name)
        for bin in result.bins[1:]
    }
    for key, value in result.figures.items():
        wanted[f'coco/bbox_{key}'] = value
    if not PROTOCOLS[name].has_coco_rules:
        wanted['coco/bbox_mAP'] = result.ap()
        wanted['coco/bbox_mAP_50'] = result.ap(0.5)
    for key, value in wanted.items():
        assert figures[key] == (
            -1 if value is None else pytest.approx(value, abs=6e-4)
        ), key


def run_metric(data, folder, names=None, **options):
    """Return what SmallObjectMetric logs for ground truth and results.

    Args:
        data (tuple): Ground truth and results.
        folder (Path): Folder for the annotation file.
        names (list, optional): Names of the classes. Default: None, all.
        options: Arguments of the metric.
    """
    path = folder / 'annotations.json'
    path.write_text(json.dumps(data[0]))
    chosen = [
        entry
        for entry in data[0]['categories']
        if names is None or entry['name'] in names
    ]
    keys = [entry['id'] for entry in chosen]
    metric = SmallObjectMetric(ann_file=str(path), **options)
    metric.dataset_meta = dict(classes=[entry['name'] for entry in chosen])
    for image in data[0]['images']:
        own = [
            d
            for d in data[1]
            if d['image_id'] == image['id'] and d['category_id'] in keys
        ]
        boxes = np.array([d['bbox'] for d in own], float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        instances = dict(
            bboxes=torch.from_numpy(boxes),
            scores=torch.tensor([d['score'] for d in own]).double(),
            labels=torch.tensor([keys.index(d['category_id']) for d in own]),
        )
        metric.process(
            {},
            [
                dict(
                    img_id=image['id'],
                    pred_instances=instances,
                    ori_shape=(image['height'], image['width']),
                )
            ],
        )
    return metric.evaluate(len(data[0]['images']))


@pytest.mark.parametrize('engine', ENGINES)
def test_masks_of_whole_boxes_have_the_figures_of_the_boxes(engine):
    for seed in range(1, 21, 2):
        data = protocol_data('lvis', 6 * seed + 3)
        for entry in (*data[0]['annotations'], *data[1]):
            entry['segmentation'] = box_mask(entry['bbox'])
        by_box, by_mask = (
            sge_mmdet.evaluate(*data, metric=m, protocol='lvis', engine=engine)
            for m in ('bbox', 'segm')
        )
        np.testing.assert_allclose(by_mask.precision, by_box.precision)
        np.testing.assert_allclose(by_mask.recall, by_box.recall)


def box_mask(box):
    """Return a mask of 40 x 60 pixels that is a box of whole pixels."""
    x, y, width, height = map(round, box)
    mask = np.zeros((40, 60), np.uint8, order='F')
    mask[y : y + height, x : x + width] = 1
    encoded = mask_utils.encode(mask)
    return dict(size=encoded['size'], counts=encoded['counts'].decode())
