"""``sge_mmdet.evaluate`` and ``compare``, with results of every form."""

import json
import pickle
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO

import sge_mmdet
from sge_mmdet.evaluation import (
    compare_detections,
    read_detections,
    read_ground_truth,
    size_bins,
)
from sge_mmdet.evaluation import evaluate as evaluate_structures
from tests.helpers.documents import to_pickle
from tests.helpers.random_coco import random_coco

IMAGES = 16
SIZES = [0, 8, 16, float('inf')]


@dataclass
class Found:
    """Supervision's Detections, as far as they are read."""

    xyxy: np.ndarray
    confidence: Any = None
    class_id: Any = None
    mask: Any = None


class Data:
    """A small data set, its files and its results in other forms."""

    def __init__(self, folder, masks=False):
        # Whole numbers are the same as corners and as sizes.
        self.truth, results = random_coco(
            0, masks=masks, ties=True, images=IMAGES
        )
        # One image has no detections.
        self.results = [r for r in results if r['image_id'] != self.ids[5]]
        _, self.other = random_coco(0, masks=masks, images=IMAGES)
        self.path = folder / 'val.json'
        self.path.write_text(json.dumps(self.truth))
        self.result_path = folder / 'result.bbox.json'
        self.result_path.write_text(json.dumps(self.results))
        self.other_path = folder / 'other.bbox.json'
        self.other_path.write_text(json.dumps(self.other))
        self.categories = [entry['id'] for entry in self.truth['categories']]

    @property
    def ids(self):
        return [image['id'] for image in self.truth['images']]

    @property
    def names(self):
        return [image['file_name'] for image in self.truth['images']]

    def by_image(self, positions=False):
        """Return corners, scores and labels of each image as arrays."""
        for image in self.ids:
            mine = [r for r in self.results if r['image_id'] == image]
            box = np.array([r['bbox'] for r in mine]).reshape(-1, 4)
            label = [r['category_id'] for r in mine]
            if positions:
                label = [self.categories.index(key) for key in label]
            yield (
                np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], 1),
                np.array([r['score'] for r in mine], float),
                np.array(label, int),
            )

    def supervision(self, positions=False):
        return [Found(*parts) for parts in self.by_image(positions)]

    def torchvision(self, positions=False):
        return [
            dict(
                boxes=torch.tensor(box, dtype=torch.float32),
                scores=torch.tensor(score, dtype=torch.float32),
                labels=torch.tensor(label),
            )
            for box, score, label in self.by_image(positions)
        ]

    def arrays(self, positions=False):
        return [
            np.concatenate([box, score[:, None], label[:, None]], 1)
            for box, score, label in self.by_image(positions)
        ]

    def table(self):
        return np.array(
            [
                [r['image_id'], *r['bbox'], r['score'], r['category_id']]
                for r in self.results
            ]
        )

    def samples(self):
        samples = []
        for image, (box, score, label) in zip(self.ids, self.by_image(True)):
            sample = DetDataSample(metainfo=dict(img_id=image))
            sample.pred_instances = InstanceData(
                bboxes=torch.tensor(box, dtype=torch.float32),
                scores=torch.tensor(score, dtype=torch.float32),
                labels=torch.tensor(label),
            )
            samples.append(sample)
        return samples


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    data = Data(tmp_path_factory.mktemp('data'))
    assert len(data.categories) > 1
    return data


def figures(result):
    return (
        np.asarray(result.precision).tolist(),
        np.asarray(result.recall).tolist(),
        result.curves.tolist(),
        [asdict(bin) for bin in result.bins],
        result.thresholds,
        result.max_dets,
    )


def expected(data, **options):
    truth = read_ground_truth(data.path)
    return figures(
        evaluate_structures(
            truth,
            read_detections(data.result_path, truth),
            size_bins(SIZES),
            **options,
        )
    )


GROUND_TRUTHS = dict(
    path=lambda data: data.path,
    text=lambda data: str(data.path),
    content=lambda data: data.truth,
    coco=lambda data: COCO(str(data.path)),
    read=lambda data: read_ground_truth(data.path),
)


@pytest.mark.parametrize('form', GROUND_TRUTHS)
def test_ground_truth_of_every_form_gives_the_same_figures(data, form):
    result = sge_mmdet.evaluate(
        GROUND_TRUTHS[form](data), data.result_path, SIZES
    )
    assert figures(result) == expected(data)
    assert result.ap() > 0.05


def by_name(data, results):
    return dict(zip(data.names, results))


def by_id(data, results):
    return dict(zip(map(np.int64, data.ids), results))


def of_coco(data):
    return COCO(str(data.path)).loadRes(str(data.result_path))


RESULTS = dict(
    path=lambda data: data.result_path,
    text=lambda data: str(data.result_path),
    detections=lambda data: data.results,
    table=lambda data: data.table(),
    tensor=lambda data: torch.from_numpy(data.table()),
    coco=of_coco,
    supervision=lambda data: data.supervision(),
    supervision_by_name=lambda data: by_name(data, data.supervision()),
    torchvision=lambda data: data.torchvision(),
    torchvision_by_path=lambda data: {
        Path(name): result
        for name, result in zip(data.names, data.torchvision())
    },
    arrays=lambda data: tuple(data.arrays()),
    arrays_by_id=lambda data: by_id(data, data.arrays()),
    lists=lambda data: [
        {key: value.tolist() for key, value in result.items()}
        for result in data.torchvision()
    ],
)
# Their labels are positions, so that the classes must be known.
LABELLED = dict(
    supervision=lambda data: data.supervision(True),
    torchvision=lambda data: data.torchvision(True),
    arrays=lambda data: data.arrays(True),
    samples=lambda data: data.samples(),
    samples_by_name=lambda data: by_name(data, data.samples()),
    samples_in_any_order=lambda data: data.samples()[::-1],
    dicts=lambda data: [sample.to_dict() for sample in data.samples()],
    pickle=lambda data: to_pickle(data.truth, data.results),
)


@pytest.mark.parametrize('form', RESULTS)
def test_results_of_every_form_give_the_same_figures(data, form):
    results = RESULTS[form](data)
    result = sge_mmdet.evaluate(data.path, results, SIZES)
    assert figures(result) == expected(data)


@pytest.mark.parametrize('form', LABELLED)
def test_labels_are_positions_where_the_classes_are_named(data, form):
    results = LABELLED[form](data)
    result = sge_mmdet.evaluate(data.path, results, SIZES, categories='all')
    assert figures(result) == expected(data)


def test_labels_are_positions_in_the_named_order_if_told(data):
    names = [entry['name'] for entry in data.truth['categories']]
    last = len(names) - 1
    results = data.supervision(True)
    for result in results:
        result.class_id = last - result.class_id
    result = sge_mmdet.evaluate(
        data.path,
        results,
        SIZES,
        categories=names[::-1],
        in_label_order=True,
    )
    assert figures(result) == expected(data)
    truth = read_ground_truth(data.path, names[::-1], in_label_order=True)
    assert figures(sge_mmdet.evaluate(truth, results, SIZES)) == expected(data)


def test_pickle_gives_the_figures_of_its_content(data, tmp_path):
    content = to_pickle(data.truth, data.results)
    path = tmp_path / 'result.pkl'
    path.write_bytes(pickle.dumps(content))
    for results in path, content:
        result = sge_mmdet.evaluate(
            data.path, results, SIZES, categories='all'
        )
        assert figures(result) == expected(data)


def test_half_precision_is_read(data):
    results = [
        dict(result, boxes=result['boxes'].to(torch.bfloat16))
        for result in data.torchvision()
    ]
    result = sge_mmdet.evaluate(data.path, results, SIZES)
    assert figures(result) == expected(data)


MASKS = dict(
    detections=lambda data, masks: data.results,
    rle=lambda data, masks: [
        dict(result, masks=own)
        for result, own in zip(data.torchvision(), masks)
    ],
    torchvision=lambda data, masks: [
        dict(result, masks=torch.tensor(decoded(own))[:, None].float())
        for result, own in zip(data.torchvision(), masks)
    ],
    supervision=lambda data, masks: [
        replace(result, mask=decoded(own).astype(bool))
        for result, own in zip(data.supervision(), masks)
    ],
)


def decoded(masks):
    if not masks:
        return np.zeros((0, 40, 60), np.uint8)
    return np.stack([mask_utils.decode(mask) for mask in masks])


def test_images_without_detections_need_boxes_only(data):
    results = [
        result if len(result.xyxy) else Found(result.xyxy)
        for result in data.supervision()
    ]
    assert sum(result.class_id is None for result in results)
    result = sge_mmdet.evaluate(data.path, results, SIZES)
    assert figures(result) == expected(data)


@pytest.mark.parametrize('form', MASKS)
def test_masks_of_every_form_give_the_same_figures(tmp_path, form):
    data = Data(tmp_path, masks=True)
    masks = [
        [r['segmentation'] for r in data.results if r['image_id'] == image]
        for image in data.ids
    ]
    truth = read_ground_truth(data.path)
    result = sge_mmdet.evaluate(
        data.path, MASKS[form](data, masks), SIZES, 'segm'
    )
    assert figures(result) == figures(
        evaluate_structures(
            truth,
            read_detections(data.result_path, truth, 'segm'),
            size_bins(SIZES),
            'segm',
        )
    )


def test_structures_and_bins_are_taken_as_before(data):
    truth = read_ground_truth(data.path)
    detections = read_detections(data.result_path, truth)
    bins = size_bins(SIZES)
    for result in (
        sge_mmdet.evaluate(truth, detections, bins),
        sge_mmdet.evaluate(truth, detections, bins=bins),
    ):
        assert figures(result) == expected(data)
    options = dict(
        thresholds=(0.5,),
        max_dets=(1, 10),
        engine='pycocotools',
        extra_thresholds=(0.25,),
    )
    result = sge_mmdet.evaluate(truth, detections, bins, 'bbox', **options)
    assert figures(result) == expected(data, **options)


def test_sizes_are_a_name_limits_or_bins(data):
    def names(*sizes):
        result = sge_mmdet.evaluate(data.path, data.results, *sizes)
        return [bin.name for bin in result.bins]

    assert names() == names('coco') == ['all', 'small', 'medium', 'large']
    assert names([0, 16, 32]) == names(size_bins([0, 16, 32]))
    assert names(np.array([0, 16, 32])) == ['all', '0-16', '16-32']
    assert names([]) == ['all']
    for wrong in 'nothing', 32, [3, 2]:
        with pytest.raises(ValueError, match='expected'):
            names(wrong)


def test_protocol_of_a_data_set_is_followed(data):
    result = sge_mmdet.evaluate(data.path, data.results, 'aitod')
    assert result.max_dets == (1, 100, 1500)
    assert {'oLRP', 'AR@100'} < {*result.figures}
    assert result.extra_thresholds == (0.25,)
    result = sge_mmdet.evaluate(data.path, data.results, 'aitod', max_dets=2)
    assert result.max_dets == (2,)
    with pytest.raises(ValueError, match='max_dets'):
        sge_mmdet.evaluate(data.path, data.results, max_dets=0)


def refused(data, results, error=ValueError, **options):
    with pytest.raises(error) as info:
        sge_mmdet.evaluate(data.path, results, SIZES, **options)
    return str(info.value)


@pytest.mark.parametrize('results', [3, None, object(), np.zeros(4), {1, 2}])
def test_unknown_result_is_refused_with_an_example(data, results):
    text = refused(data, results, TypeError)
    assert type(results).__name__ in text
    assert 'supervision' in text and 'torchvision' in text
    assert "sge_mmdet.evaluate('val.json'" in text


def test_unknown_result_of_an_image_is_refused(data):
    text = refused(data, [np.zeros((2, 5))] * IMAGES, TypeError)
    assert 'for an image' in text and 'numpy.ndarray of shape (2, 5)' in text
    assert 'for an image' in refused(data, {data.names[0]: 3}, TypeError)


@pytest.mark.parametrize('truth', [3, None, [], np.zeros(3)])
def test_unknown_ground_truth_is_refused(data, truth):
    with pytest.raises(TypeError, match=r"such as 'val\.json', got "):
        sge_mmdet.evaluate(truth, data.results)


def test_result_of_a_single_image_is_refused(data):
    for results in (
        data.supervision()[0],
        data.torchvision()[0],
        data.arrays()[0],
        data.samples()[0],
    ):
        assert 'detections of one image' in refused(data, results)


def test_list_of_another_length_is_refused(data):
    text = refused(data, data.supervision()[1:])
    assert 'each of the 16 images' in text and 'got 15' in text


def test_forms_are_not_mixed(data):
    results = [*data.supervision()[:4], *data.arrays()[4:]]
    assert 'same form' in refused(data, results)


def test_samples_of_the_same_id_are_refused_with_a_way_out(data):
    samples = data.samples()
    for sample in samples:
        sample.set_metainfo(dict(img_id=0))
    assert 'dict from file names' in refused(data, samples)
    result = sge_mmdet.evaluate(
        data.path, by_name(data, samples), SIZES, categories='all'
    )
    assert figures(result) == expected(data)


def test_images_that_are_not_there_are_refused(data):
    one = data.arrays()[0]
    for key in 'no.png', 999, None, True:
        text = refused(data, {key: one})
        assert (
            'is not in the ground truth' in text
            and '0.png' in text
            and '2' in text
        )
    assert 'occurs twice' in refused(
        data, {data.names[0]: one, data.ids[0]: one}
    )


def test_file_name_of_two_images_is_refused(data):
    images = [dict(image, file_name='a.png') for image in data.truth['images']]
    truth = dict(data.truth, images=images)
    with pytest.raises(ValueError, match='file name of 16 images'):
        sge_mmdet.evaluate(truth, {'a.png': data.arrays()[0]})


def test_missing_images_are_told(data):
    with pytest.warns(UserWarning, match='results of 2 of 16 images'):
        sge_mmdet.evaluate(
            data.path, dict(list(by_name(data, data.arrays()).items())[:2])
        )
    with pytest.warns(UserWarning, match='results of 0 of 16 images'):
        sge_mmdet.evaluate(data.path, [])


def test_labels_that_are_no_ids_are_refused(data):
    assert 'categories=' in refused(data, data.arrays(True))


def test_labels_of_fewer_classes_are_refused_until_they_are_named(data):
    samples = data.samples()
    for sample in samples:
        sample.pred_instances.labels[:] = 0
    assert 'categories' in refused(data, samples)
    sge_mmdet.evaluate(data.path, samples, categories='all')


def test_wrong_numbers_are_refused(data):
    numbers = [len(result['scores']) for result in data.torchvision()]
    number = max(numbers)

    def with_first(**parts):
        results = data.torchvision()
        results[numbers.index(number)].update(parts)
        return results

    text = refused(data, with_first(scores=torch.zeros(number + 1)))
    assert f'{number} bboxes, {number + 1} scores' in text
    text = refused(data, with_first(scores=None))
    assert "torchvision's dict with scores, got none" in text
    assert 'with confidence, got none' in refused(
        data, [replace(found, confidence=None) for found in data.supervision()]
    )
    assert 'whole numbers' in refused(
        data, with_first(labels=np.full(number, 5.5))
    )
    assert 'shape (n, 4)' in refused(data, with_first(boxes=np.ones((2, 5))))
    assert 'not finite' in refused(
        data, with_first(scores=np.full(number, np.nan))
    )
    results = [
        dict(result, masks=np.ones((2, 2))) for result in data.torchvision()
    ]
    assert 'shape (n, height, width)' in refused(data, results, metric='segm')
    assert 'with masks, got none' in refused(
        data, data.arrays(), metric='segm'
    )
    assert 'no masks' in refused(data, data.table(), metric='segm')
    assert 'array of numbers' in refused(data, data.table().astype(str))
    ragged = with_first(boxes=[[1, 2, 3, 4], [1, 2]])
    assert 'rows of the same length' in refused(data, ragged)
    assert 'lacks the key' in refused(data, [dict(bbox=[1, 1, 1, 1])])


def test_boxes_with_sizes_in_place_of_corners_are_refused(data):
    text = refused(
        data,
        by_id(data, [dict(boxes=[[9, 9, 3, 20]], scores=[1], labels=[5])]),
    )
    assert (
        'corners (x1, y1, x2, y2)' in text and '[9.0, 9.0, 3.0, 20.0]' in text
    )


def test_categories_of_read_ground_truth_are_not_chosen_again(data):
    with pytest.raises(ValueError, match='read_ground_truth'):
        sge_mmdet.evaluate(
            read_ground_truth(data.path), data.results, categories='all'
        )


def differences(comparison):
    return [asdict(row) for row in (*comparison.sizes, *comparison.classes)]


def of_paths(data, a, b, **options):
    truth = read_ground_truth(data.path)

    def read(side):
        if isinstance(side, dict):
            return {s: read_detections(x, truth) for s, x in side.items()}
        return [read_detections(path, truth) for path in side]

    return compare_detections(
        truth, read(a), read(b), size_bins(SIZES), resamples=20, **options
    )


def test_comparison_of_every_form_gives_the_same_differences(data):
    result = of_paths(data, [data.result_path], [data.other_path])
    for form in RESULTS.values():
        same = sge_mmdet.compare(
            data.path, form(data), data.other, SIZES, resamples=20
        )
        assert differences(same) == differences(result)
    for form in LABELLED.values():
        same = sge_mmdet.compare(
            data.path,
            form(data),
            data.other,
            SIZES,
            categories='all',
            resamples=20,
        )
        assert differences(same) == differences(result)


def test_comparison_takes_several_results(data):
    a, b = data.result_path, data.other_path
    result = differences(of_paths(data, [a, b], [b, a]))
    for sides in (
        ([a, b], [b, a]),
        ([data.results, data.other], [data.other, data.results]),
        ((data.table(), b), (b, data.supervision())),
        ([by_name(data, data.arrays()), b], [b, of_coco(data)]),
    ):
        same = sge_mmdet.compare(data.path, *sides, SIZES, resamples=20)
        assert differences(same) == result


def test_comparison_pairs_results_by_seed(data):
    a, b = data.result_path, data.other_path
    result = of_paths(data, {7: a, 8: b}, {8: b, 7: a})
    same = sge_mmdet.compare(
        data.path,
        {7: data.results, 8: data.other},
        {8: b, 7: data.torchvision()},
        SIZES,
        resamples=20,
    )
    assert same.paired
    assert differences(same) == differences(result)


def test_comparison_hands_its_options_on(data):
    result = sge_mmdet.compare(
        data.path,
        data.results,
        data.other,
        SIZES,
        names=('plain', 'SGE'),
        resamples=30,
        seed=4,
        max_dets=2,
    )
    assert (result.names, result.resamples) == (('plain', 'SGE'), 30)
    truth = read_ground_truth(data.path)
    same = compare_detections(
        truth,
        [read_detections(data.result_path, truth)],
        [read_detections(data.other_path, truth)],
        size_bins(SIZES),
        resamples=30,
        seed=4,
        max_dets=2,
    )
    assert differences(same) == differences(result)


def test_comparison_refuses_what_it_cannot_read(data):
    with pytest.raises(TypeError, match='The result of b is of type int'):
        sge_mmdet.compare(data.path, data.results, 3)
    with pytest.raises(TypeError, match='for an image'):
        sge_mmdet.compare(data.path, data.results, [data.path, 3])
    with pytest.raises(ValueError, match='max_dets'):
        sge_mmdet.compare(data.path, data.results, data.other, max_dets=0)
    with pytest.raises(TypeError, match='nothing'):
        sge_mmdet.compare(data.path, data.results, data.other, nothing=1)
