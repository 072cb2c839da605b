"""Numbers of detections per image and class beyond COCO's 100."""

import json

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sge_mmdet.evaluation import (
    break_down_errors,
    read_ground_truth,
    resample_figures,
    size_bins,
)
from sge_mmdet.evaluation import (
    evaluate as evaluate_detections,
)
from sge_mmdet.evaluation.bins import ALL_SIZES
from sge_mmdet.evaluation.result_json import detections_from_coco
from sge_mmdet_cli import compare, evaluate
from tests.helpers.engines import ENGINES
from tests.helpers.random_coco import random_coco

OBJECTS = 300


def crowded(images=2):
    """Return ground truth and perfect results of 300 objects an image."""
    annotations, results = [], []
    for image in range(images):
        for i in range(OBJECTS):
            box = [12.0 * (i % 20), 12.0 * (i // 20), 10.0, 10.0]
            shared = dict(image_id=image, category_id=1, bbox=box)
            annotations.append(
                dict(shared, id=len(annotations) + 1, area=100, iscrowd=0)
            )
            results.append(dict(shared, score=1 - i / 1000))
    data = dict(
        images=[
            dict(id=i, height=240, width=240, file_name=f'{i}.png')
            for i in range(images)
        ],
        categories=[dict(id=1, name='ant')],
        annotations=annotations,
    )
    return data, results


def oracle(ground_truth, results, max_dets):
    """Return pycocotools' precision and recall at ``max_dets``."""
    truth = COCO()
    truth.dataset = ground_truth
    truth.createIndex()
    run = COCOeval(truth, truth.loadRes(results), 'bbox')
    run.params.maxDets = [max_dets]
    run.evaluate()
    run.accumulate()
    return run.eval['precision'].mean(1), run.eval['recall']


def structures(ground_truth, results):
    ground_truth = read_ground_truth(ground_truth)
    return ground_truth, detections_from_coco(results, ground_truth, 'r')


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('max_dets', [1, 3, 100, 150, 300])
def test_ap_and_ar_count_as_many_detections_as_are_asked_for(engine, max_dets):
    for data in [crowded(), *(random_coco(s, images=2) for s in range(3, 9))]:
        if not data[1]:
            continue
        result = evaluate_detections(
            *structures(*data),
            size_bins('coco'),
            max_dets=(max_dets,),
            engine=engine,
        )
        precision, recall = oracle(*data, max_dets)
        np.testing.assert_allclose(
            result.precision, precision, rtol=0, atol=1e-10
        )
        np.testing.assert_allclose(result.recall, recall, rtol=0, atol=1e-10)


@pytest.mark.parametrize('max_dets', [2, 100, 300])
def test_resampled_figures_count_them_too(max_dets):
    for data in crowded(), random_coco(5, images=4):
        ground_truth, detections = structures(*data)
        figures = resample_figures(
            ground_truth,
            detections,
            size_bins('coco'),
            resamples=5,
            max_dets=max_dets,
        )
        result = evaluate_detections(
            ground_truth,
            detections,
            size_bins('coco'),
            max_dets=(max_dets,),
            engine='pycocotools',
        )
        assert figures.sizes['AP'][0] == pytest.approx(result.ap())
        assert figures.sizes['AP_small'][0] == pytest.approx(
            result.ap(size='small')
        )


def test_errors_are_of_the_detections_that_count():
    data = structures(*crowded())
    few, all_of_them = (
        break_down_errors(*data, ALL_SIZES, max_dets=number)
        for number in (100, 300)
    )
    assert (few.hits, few.misses['missed']) == (200, 400)
    assert sum(few.misses.values()) == 400 and not sum(few.false.values())
    assert all_of_them.hits == 600 and not sum(all_of_them.misses.values())


def run_metric(ground_truth, results, **options):
    samples = []
    for image in ground_truth['images']:
        own = [r for r in results if r['image_id'] == image['id']]
        box = torch.tensor([r['bbox'] for r in own])
        box[:, 2:] += box[:, :2]
        samples.append(
            dict(
                img_id=image['id'],
                ori_shape=(image['height'], image['width']),
                pred_instances=dict(
                    bboxes=box,
                    scores=torch.tensor([r['score'] for r in own]),
                    labels=torch.zeros(len(own), dtype=torch.long),
                ),
            )
        )
    metric = METRICS.build(dict(type='SmallObjectMetric', **options))
    metric.dataset_meta = dict(classes=('ant',))
    metric.process({}, samples)
    return metric.evaluate(size=len(samples))


def test_the_metric_counts_them(tmp_path):
    ground_truth, results = crowded()
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(ground_truth))
    given = ground_truth, results
    coco = run_metric(*given, ann_file=str(path))
    more = run_metric(*given, ann_file=str(path), max_dets=300)
    assert coco['coco/bbox_mAP_small'] == pytest.approx(0.337, abs=1e-3)
    assert 'coco/bbox_mAP_all' not in coco
    assert more['coco/bbox_mAP_small'] == more['coco/bbox_mAP_all'] == 1
    # CocoMetric's own figures are what they were.
    assert more['coco/bbox_mAP'] == coco['coco/bbox_mAP']
    for number in 0, 2**64:
        with pytest.raises(ValueError, match=rf'max_dets.*got {number}'):
            run_metric(*given, ann_file=str(path), max_dets=number)


def test_tools_count_them(tmp_path, capsys):
    ground_truth, results = crowded()
    truth, found = tmp_path / 'truth.json', tmp_path / 'results.json'
    truth.write_text(json.dumps(ground_truth))
    found.write_text(json.dumps(results))
    one = [str(truth), str(found)]
    two = [str(found)] * 2 + ['--ground-truth', str(truth)]
    two += ['--resamples', '5']
    for main, args in (evaluate.main, one), (compare.main, two):
        main(args)
        assert '1.000  ' not in capsys.readouterr().out.split('95 %')[0]
        main([*args, '--max-dets', '300'])
        assert '1.000' in capsys.readouterr().out
        with pytest.raises(SystemExit, match=r'max_dets.*got 0'):
            main([*args, '--max-dets', '0'])
    out = tmp_path / 'out'
    evaluate.main([*one, '--max-dets', '300', '--out-dir', str(out)])
    assert 'at most 300 an image' in capsys.readouterr().out
    report = json.loads((out / 'evaluation.json').read_text())
    assert report['errors']['hits'] == 600
