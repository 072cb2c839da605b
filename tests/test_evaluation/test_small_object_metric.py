import json
import math
import warnings

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS

from sge_mmdet.evaluation import SmallObjectMetric
from tests.helpers.engines import ENGINES
from tests.helpers.random_coco import HEIGHT, WIDTH, random_coco


def write(folder, seed, images=6, masks=True):
    """Write ground truth; return its file and the model's answers."""
    ground_truth, results = random_coco(seed, masks, images=images)
    path = folder / 'truth.json'
    path.write_text(json.dumps(ground_truth))
    labels = {c['id']: i for i, c in enumerate(ground_truth['categories'])}
    samples = []
    for image in ground_truth['images']:
        own = [r for r in results if r['image_id'] == image['id']]
        box = torch.tensor([r['bbox'] for r in own]).reshape(-1, 4)
        box[:, 2:] += box[:, :2]
        instances = dict(
            bboxes=box,
            scores=torch.tensor([r['score'] for r in own]),
            labels=torch.tensor(
                [labels[r['category_id']] for r in own], dtype=torch.long
            ),
        )
        if masks:
            instances['masks'] = [
                dict(
                    size=r['segmentation']['size'],
                    counts=r['segmentation']['counts'].encode(),
                )
                for r in own
            ]
        samples.append(
            dict(
                img_id=image['id'],
                ori_shape=(HEIGHT, WIDTH),
                pred_instances=instances,
            )
        )
    meta = dict(classes=[c['name'] for c in ground_truth['categories']])
    return path, samples, meta


def run(kind, path, samples, meta, **options):
    metric = METRICS.build(dict(type=kind, ann_file=str(path), **options))
    metric.dataset_meta = meta
    metric.process({}, samples)
    return metric.evaluate(size=len(samples))


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(metric=['bbox', 'segm'], classwise=True),
        dict(metric=['proposal', 'bbox']),
        dict(
            metric='bbox',
            proposal_nums=(1, 10, 100),
            metric_items=['mAP', 'mAP_s', 'AR@1000', 'AR_s@1000'],
        ),
        dict(
            metric='bbox',
            proposal_nums=(1, 2, 3),
            iou_thrs=np.array([0.5, 0.6]),
        ),
    ],
    ids=str,
)
def test_everything_that_coco_metric_logs_is_logged_alike(
    tmp_path, options, engine
):
    for seed in (3, 8):
        given = write(tmp_path, seed)
        theirs = run('CocoMetric', *given, **options)
        ours = run('SmallObjectMetric', *given, engine=engine, **options)
        assert theirs and {*theirs} <= {*ours}
        for key, value in theirs.items():
            assert ours[key] == value or (
                math.isnan(ours[key]) and math.isnan(value)
            ), key


def test_each_size_has_its_figures_and_empty_ones_minus_one(tmp_path):
    given = write(tmp_path, 3)
    figures = run(
        'SmallObjectMetric',
        *given,
        classwise=True,
        size_bins=[0, 8, 16, math.inf],
    )
    for name in '0-8', '8-16', '16-inf':
        assert figures[f'coco/bbox_num_{name}'] >= 0
        has_objects = figures[f'coco/bbox_num_{name}'] > 0
        for kind in 'mAP', 'mAP_50', 'AR':
            value = figures[f'coco/bbox_{kind}_{name}']
            assert value >= 0 if has_objects else value == -1
    assert 'coco/bbox_class 0_num_0-8' in figures
    with pytest.warns(UserWarning, match='no objects of the size 900-1000'):
        far = run('SmallObjectMetric', *given, size_bins=[900, 1000])
    assert far['coco/bbox_num_900-1000'] == 0
    with pytest.warns(UserWarning, match='no objects of the size 0-0.1; '):
        run(
            'SmallObjectMetric',
            *given,
            size_bins=[0, 0.1, 900, math.inf],
        )
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        run('SmallObjectMetric', *given, size_bins=[0, 900, math.inf])
    # So that save_best can name it.
    assert far['coco/bbox_mAP_900-1000'] == -1


def test_ai_tod_s_protocol_adds_ap_at_an_iou_of_a_quarter(tmp_path):
    given = write(tmp_path, 3)
    figures = run('SmallObjectMetric', *given, size_bins='aitod')
    for size in 'all', 'tiny':
        assert (
            figures[f'coco/bbox_mAP_25_{size}']
            >= (figures[f'coco/bbox_mAP_50_{size}'])
        )
    assert figures['coco/bbox_mAP_all'] == figures['coco/bbox_mAP']


def test_box_area_counts_boxes(tmp_path):
    given = write(tmp_path, 3)
    bins = dict(size_bins=[0, 10, math.inf])
    by_box = run('SmallObjectMetric', *given, area='box', **bins)
    ground_truth = json.loads(given[0].read_text())['annotations']
    small = sum(
        a['bbox'][2] * a['bbox'][3] <= 100
        for a in ground_truth
        if not a['iscrowd']
    )
    assert by_box['coco/bbox_num_0-10'] == small


def test_results_are_written_as_coco_metric_writes_them(tmp_path):
    given = write(tmp_path, 4)
    for kind in 'CocoMetric', 'SmallObjectMetric':
        assert not run(
            kind,
            *given,
            format_only=True,
            metric=['bbox', 'segm'],
            outfile_prefix=str(tmp_path / kind),
        )
    for name in 'bbox', 'segm':
        theirs, ours = (
            json.loads((tmp_path / f'{kind}.{name}.json').read_text())
            for kind in ('CocoMetric', 'SmallObjectMetric')
        )
        assert ours == theirs


def test_no_detections_at_all_give_zero(tmp_path):
    path, samples, meta = write(tmp_path, 3)
    for sample in samples:
        sample['pred_instances'] = dict(
            bboxes=torch.zeros(0, 4),
            scores=torch.zeros(0),
            labels=torch.zeros(0, dtype=torch.long),
        )
    figures = run('SmallObjectMetric', path, samples, meta)
    assert figures['coco/bbox_mAP'] == 0


def test_diverged_detections_are_left_out_and_counted(tmp_path):
    path, samples, meta = write(tmp_path, 3)
    scores = next(
        sample['pred_instances']['scores']
        for sample in samples
        if len(sample['pred_instances']['scores'])
    )
    scores[0] = np.nan
    with pytest.warns(
        UserWarning,
        match='1 detections have a box or score that is not finite',
    ):
        run('SmallObjectMetric', path, samples, meta)


def test_ground_truth_that_comes_with_the_images_is_used(tmp_path):
    _, samples, meta = write(tmp_path, 3, masks=False)
    for sample in samples:
        detections = sample['pred_instances']
        sample['instances'] = [
            dict(bbox=box.tolist(), bbox_label=int(label))
            for box, label in zip(
                detections['bboxes'][:1], detections['labels']
            )
        ]
    metric = SmallObjectMetric()
    metric.dataset_meta = meta
    metric.process({}, samples)
    figures = metric.evaluate(size=len(samples))
    assert figures['coco/bbox_mAP'] > 0


@pytest.mark.parametrize('engine', ENGINES)
def test_ids_that_are_text_give_the_figures_of_coco_metric(tmp_path, engine):
    """As in VOC, CrowdHuman and Open Images."""
    for seed in (3, 8):
        path, samples, meta = write(tmp_path, seed)
        whole = run('SmallObjectMetric', path, samples, meta)
        data = json.loads(path.read_text())
        for entry in data['images']:
            entry['id'] = f'image {entry["id"]}'
        for entry in data['annotations']:
            entry['image_id'] = f'image {entry["image_id"]}'
        path.write_text(json.dumps(data))
        for sample in samples:
            sample['img_id'] = f'image {sample["img_id"]}'
        given = path, samples, meta
        ours = run('SmallObjectMetric', *given, engine=engine)
        theirs = run('CocoMetric', *given)
        assert theirs == {key: ours[key] for key in theirs}
        # The order of the ids is the same as well.
        assert ours == whole


def test_text_ids_of_ground_truth_that_comes_with_the_images(tmp_path):
    _, samples, meta = write(tmp_path, 3, masks=False)
    for sample in samples:
        detections = sample['pred_instances']
        sample['img_id'] = f'2007_{sample["img_id"]:06}'
        sample['instances'] = [
            dict(bbox=box.tolist(), bbox_label=int(label), ignore_flag=0)
            for box, label in zip(detections['bboxes'], detections['labels'])
        ]
    figures = []
    for kind in 'CocoMetric', 'SmallObjectMetric':
        metric = METRICS.build(dict(type=kind))
        metric.dataset_meta = meta
        metric.process({}, samples)
        figures.append(metric.evaluate(size=len(samples)))
    assert figures[0] == {key: figures[1][key] for key in figures[0]}
    assert figures[1]['coco/bbox_mAP_small'] > 0


def test_results_of_some_images_are_told(tmp_path):
    path, samples, meta = write(tmp_path, 3)
    with pytest.warns(UserWarning, match='results of 2 of 6 images'):
        some = run('SmallObjectMetric', path, samples[:2], meta)
    theirs = run('CocoMetric', path, samples[:2], meta)
    assert theirs == {key: some[key] for key in theirs}


def test_labels_of_lvis_are_told(tmp_path):
    path, samples, meta = write(tmp_path, 3)
    data = json.loads(path.read_text())
    for image in data['images']:
        image.update(neg_category_ids=[5], not_exhaustive_category_ids=[])
    path.write_text(json.dumps(data))
    with pytest.warns(UserWarning, match='labels of LVIS.*LVISMetric'):
        run('SmallObjectMetric', path, samples, meta)


@pytest.mark.parametrize(
    'options, words',
    [
        (dict(size_bins='voc'), "coco, aitod or a list of limits .*'voc'"),
        (dict(size_bins=[32, 16]), r'ascend .*\[32, 16\]'),
        (dict(size_bins=['a', 'b']), 'numbers of pixels'),
        (dict(area='mask'), "annotation, box, got 'mask'"),
        (dict(engine='fast'), "native, hotcoco, pycocotools, got 'fast'"),
    ],
)
def test_bad_options_are_refused_when_it_is_built(options, words):
    with pytest.raises(ValueError, match=words):
        SmallObjectMetric(**options)
