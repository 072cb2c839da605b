import json
import os
import pickle

import numpy as np
import pytest
import torch
from mmdet.evaluation.metrics import DumpDetResults

from sge_mmdet.evaluation import read_ground_truth, result_json
from sge_mmdet.evaluation.result_files import read_detections
from sge_mmdet.evaluation.result_json import detections_from_coco
from tests.helpers.random_coco import HEIGHT, WIDTH, random_coco


@pytest.fixture
def data():
    ground_truth, results = random_coco(3, images=4)
    return ground_truth, results


def dump(path, ground_truth, results):
    """Write results as MMDetection's ``tools/test.py --out`` does."""
    labels = {c['id']: i for i, c in enumerate(ground_truth['categories'])}
    metric = DumpDetResults(out_file_path=str(path))
    for image in ground_truth['images']:
        own = [r for r in results if r['image_id'] == image['id']]
        box = torch.tensor([r['bbox'] for r in own]).reshape(-1, 4)
        box[:, 2:] += box[:, :2]
        masks = torch.zeros(len(own), HEIGHT, WIDTH, dtype=torch.bool)
        masks[:, :3, :5] = True
        metric.process(
            {},
            [
                dict(
                    img_id=image['id'],
                    ori_shape=(HEIGHT, WIDTH),
                    pred_instances=dict(
                        bboxes=box,
                        scores=torch.tensor([r['score'] for r in own]),
                        labels=torch.tensor(
                            [labels[r['category_id']] for r in own]
                        ),
                        masks=masks,
                    ),
                )
            ],
        )
    metric.evaluate(len(ground_truth['images']))


def sorted_rows(detections):
    rows = np.column_stack(
        [
            detections.image,
            detections.category,
            detections.score,
            detections.box,
        ]
    )
    return rows[np.lexsort(rows.T[::-1])]


def test_json_and_pickle_of_the_same_results_are_the_same(tmp_path, data):
    (tmp_path / 'r.json').write_text(json.dumps(data[1]))
    dump(tmp_path / 'r.pkl', *data)
    ground_truth = read_ground_truth(data[0])
    one, other = (
        sorted_rows(read_detections(tmp_path / name, ground_truth))
        for name in ('r.json', 'r.pkl')
    )
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert (
        read_detections(tmp_path / 'r.pkl', ground_truth, 'segm').area == 15
    ).all()


def test_fast_and_slow_reading_of_json_give_the_same(
    tmp_path, data, monkeypatch
):
    (tmp_path / 'r.json').write_text(json.dumps(data[1]))
    ground_truth = read_ground_truth(data[0])
    fast = read_detections(tmp_path / 'r.json', ground_truth)
    monkeypatch.setattr(result_json, 'msgspec', None)
    slow = read_detections(tmp_path / 'r.json', ground_truth)
    for name in 'image', 'category', 'box', 'score', 'area':
        assert (getattr(fast, name) == getattr(slow, name)).all()


@pytest.mark.parametrize(
    'change, words',
    [
        (dict(bbox=[1, 2, 3]), 'wrong value: bbox'),
        (dict(score='high'), 'a wrong value: '),
        (dict(score=float('nan')), 'not finite'),
        (dict(category_id=77), 'category 77'),
        (dict(image_id=1000), 'image 1000, which the ground truth does'),
    ],
)
def test_faults_in_json_are_named_whichever_way_it_is_read(
    tmp_path, data, monkeypatch, change, words
):
    data[1][2].update(change)
    (tmp_path / 'r.json').write_text(json.dumps(data[1]))
    for module in result_json.msgspec, None:
        monkeypatch.setattr(result_json, 'msgspec', module)
        with pytest.raises(ValueError, match=words):
            read_detections(tmp_path / 'r.json', read_ground_truth(data[0]))


def test_results_of_some_images_are_told(tmp_path, data):
    ground_truth, results = data
    whole = read_ground_truth(ground_truth, 'all')
    dump(
        tmp_path / 'r.pkl',
        dict(ground_truth, images=ground_truth['images'][:3]),
        results,
    )
    with pytest.warns(UserWarning, match='results of 3 of 4 images'):
        read_detections(tmp_path / 'r.pkl', whole)
    (tmp_path / 'r.json').write_text(json.dumps(results[:1]))
    with pytest.warns(UserWarning, match='results of 1 of 4 images'):
        read_detections(tmp_path / 'r.json', whole)


def test_labels_follow_the_order_of_the_file(tmp_path, data):
    ground_truth, results = data
    ground_truth['categories'].reverse()
    dump(tmp_path / 'r.pkl', ground_truth, results)
    ground_truth = read_ground_truth(ground_truth)
    detections = read_detections(tmp_path / 'r.pkl', ground_truth)
    want = detections_from_coco(results, ground_truth, 'r')
    assert (
        np.bincount(detections.category) == np.bincount(want.category)
    ).all()


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f'touch {self.path}',)


def test_pickle_that_would_run_code_is_refused_and_does_not(tmp_path, data):
    (tmp_path / 'r.pkl').write_bytes(pickle.dumps([Hostile(tmp_path / 'x')]))
    with pytest.raises(
        ValueError,
        match=r'r.pkl .* nothing .* was run: it '
        r'contains posix.system',
    ):
        read_detections(tmp_path / 'r.pkl', read_ground_truth(data[0]))
    assert not (tmp_path / 'x').exists()


@pytest.mark.parametrize(
    'content, words',
    [
        (pickle.dumps([1, 2]), 'is not a result file'),
        (pickle.dumps([dict(img_id=1)]), "'pred_instances'"),
        (b'', 'is not a result file'),
        (b'\x80\x04', 'truncated'),
    ],
)
def test_other_pickles_are_named(tmp_path, data, content, words):
    (tmp_path / 'r.pkl').write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_detections(tmp_path / 'r.pkl', read_ground_truth(data[0]))


def test_labels_that_are_no_whole_numbers_are_named(tmp_path, data):
    (tmp_path / 'r.pkl').write_bytes(
        pickle.dumps(
            [
                dict(
                    img_id=data[0]['images'][0]['id'],
                    pred_instances=dict(
                        bboxes=torch.zeros(1, 4),
                        scores=torch.ones(1),
                        labels=torch.tensor([0.9]),
                    ),
                )
            ]
        )
    )
    with pytest.raises(
        ValueError,
        match='labels of result 0 to be whole numbers of shape '
        r'\(n\), got type float32 and shape \(1,\)',
    ):
        read_detections(tmp_path / 'r.pkl', read_ground_truth(data[0]))


@pytest.mark.filterwarnings('error')
def test_good_pickle_is_read_without_a_warning(tmp_path, data):
    dump(tmp_path / 'r.pkl', *data)
    assert len(
        read_detections(tmp_path / 'r.pkl', read_ground_truth(data[0])).image
    )


def test_labels_beyond_the_ground_truth_are_named(tmp_path, data):
    dump(tmp_path / 'r.pkl', *data)
    ground_truth = dict(
        data[0], categories=data[0]['categories'][:1], annotations=[]
    )
    with pytest.raises(ValueError, match='the ground truth has 1 categories'):
        read_detections(tmp_path / 'r.pkl', read_ground_truth(ground_truth))
