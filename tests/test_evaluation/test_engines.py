import numpy as np
import pytest

from sge_mmdet.evaluation import engines, read_ground_truth
from sge_mmdet.evaluation.bins import size_bins
from sge_mmdet.evaluation.engines import evaluate
from sge_mmdet.evaluation.result_json import detections_from_coco
from tests.helpers.engines import ENGINES
from tests.helpers.random_coco import random_coco

METRICS = ('bbox', 'segm', 'proposal')


def structures(seed, metric='bbox', **options):
    masks = metric == 'segm'
    ground_truth, results = random_coco(seed, masks=masks, **options)
    ground_truth = read_ground_truth(ground_truth)
    return ground_truth, detections_from_coco(
        results, ground_truth, 'results', masks
    )


@pytest.mark.parametrize('metric', METRICS)
@pytest.mark.parametrize(
    'bins', ['coco', [0, 4, 8, 16, float('inf')]], ids=str
)
def test_engines_agree_on_every_figure_of_random_data_sets(
    metric, bins, data_sets
):
    bins = size_bins(bins)
    for seed in data_sets:
        ground_truth, detections = structures(
            seed, metric, ties=bool(seed % 2)
        )
        *fast, theirs = (
            evaluate(
                ground_truth,
                detections,
                bins,
                metric,
                max_dets=(1, 10, 100),
                engine=engine,
            )
            for engine in ENGINES
        )
        for ours, engine in zip(fast, ENGINES):
            for name in 'precision', 'curves', 'recall':
                np.testing.assert_allclose(
                    getattr(ours, name),
                    getattr(theirs, name),
                    rtol=0,
                    # The native engine rounds as pycocotools does.
                    atol=0 if engine == 'native' else 1e-10,
                    err_msg=f'seed {seed}, {engine}',
                )
            assert (ours.objects == theirs.objects).all()


@pytest.mark.parametrize('most', ['MOST_CURVES', 'MOST_CELLS'])
@pytest.mark.parametrize('metric', METRICS)
@pytest.mark.parametrize('engine', ENGINES)
def test_figures_are_the_same_in_however_many_parts(
    monkeypatch, engine, metric, most
):
    for seed in range(6):
        ground_truth, detections = structures(seed, metric)
        whole = evaluate(
            ground_truth, detections, size_bins('coco'), metric, engine=engine
        )
        with monkeypatch.context() as patch:
            patch.setattr(engines, most, 1)
            parts = evaluate(
                ground_truth,
                detections,
                size_bins('coco'),
                metric,
                engine=engine,
            )
        for name in 'precision', 'curves', 'recall':
            np.testing.assert_allclose(
                getattr(parts, name),
                getattr(whole, name),
                rtol=0,
                atol=1e-12,
                err_msg=f'seed {seed}',
            )


@pytest.mark.parametrize('metric', ['bbox', 'segm'])
def test_box_areas_move_objects_between_bins_in_all_engines(metric):
    bins = size_bins([0, 8, 16, float('inf')])
    moved = 0
    for seed in range(20):
        ground_truth, detections = structures(seed, metric)
        by_box = ground_truth.with_box_areas()
        *fast, theirs = (
            evaluate(by_box, detections, bins, metric, engine=engine)
            for engine in ENGINES
        )
        for ours in fast:
            np.testing.assert_allclose(
                ours.precision, theirs.precision, rtol=0, atol=1e-10
            )
        moved += (
            ours.objects
            != evaluate(ground_truth, detections, bins, metric).objects
        ).any()
    assert moved


def test_figures_without_objects_are_none_and_not_averaged():
    ground_truth = dict(
        images=[dict(id=1, height=9, width=9)],
        categories=[dict(id=1, name='a'), dict(id=2, name='b')],
        annotations=[
            dict(
                id=1,
                image_id=1,
                category_id=1,
                bbox=[0, 0, 5, 5],
                area=25,
                iscrowd=0,
            )
        ],
    )
    ground_truth = read_ground_truth(ground_truth)
    detections = detections_from_coco(
        [dict(image_id=1, category_id=1, bbox=[0, 0, 5, 5], score=1)],
        ground_truth,
        'results',
    )
    result = evaluate(ground_truth, detections, size_bins('coco'))
    assert [result.ap(), result.ap(size='small'), result.ar()] == (
        pytest.approx([1, 1, 1])
    )
    assert result.ap(size='large') is None
    assert result.ap(category=1) is None
    assert result.curve(0.5, 'large') is None
    assert (
        result.count(),
        result.count('small'),
        result.count('large'),
        result.count(category=1),
    ) == (1, 1, 0, 0)


@pytest.mark.parametrize('engine', ENGINES)
def test_no_detections_give_zero(engine):
    ground_truth = read_ground_truth(random_coco(3)[0])
    detections = detections_from_coco([], ground_truth, 'results')
    result = evaluate(
        ground_truth, detections, size_bins('coco'), engine=engine
    )
    assert result.ap() == 0 and result.ar() == 0


@pytest.mark.parametrize(
    'options, words',
    [
        (dict(engine='fast'), "native, hotcoco, pycocotools, got 'fast'"),
        (dict(metric='keypoints'), "got 'keypoints'"),
        (dict(metric='segm'), 'objects without masks'),
    ],
)
def test_what_cannot_be_evaluated_is_said(options, words):
    ground_truth, detections = structures(3)
    with pytest.raises(ValueError, match=words):
        evaluate(ground_truth, detections, size_bins('coco'), **options)


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('metric', METRICS)
def test_a_bin_of_all_sizes_has_the_figures_of_all_sizes(engine, metric):
    for seed in range(3, 9):
        result = evaluate(
            *structures(seed, metric),
            [
                *size_bins([0, float('inf')]),
                *size_bins([0, 16, 1e5]),
                *size_bins([0, 16]),
            ],
            metric,
            engine=engine,
        )
        for name in 'precision', 'curves', 'recall':
            whole, same, low, _, again = np.moveaxis(
                getattr(result, name), -2, 0
            )
            np.testing.assert_array_equal(whole, same)
            np.testing.assert_array_equal(low, again)
        assert result.ap(size='0-inf') == result.ap()
        assert result.count('0-inf') == result.count()


def with_other_ids(ground_truth, results, image_id, category_id):
    """Return a data set in which functions of the ids are the ids."""

    def changed(entries):
        return [
            dict(
                entry,
                image_id=image_id(entry['image_id']),
                category_id=category_id(entry['category_id']),
            )
            for entry in entries
        ]

    return dict(
        ground_truth,
        images=[
            dict(image, id=image_id(image['id']))
            for image in ground_truth['images']
        ],
        categories=[
            dict(category, id=category_id(category['id']))
            for category in ground_truth['categories']
        ],
        annotations=[
            # An id of 0 means "not matched" to pycocotools' own matching.
            dict(entry, id=-i)
            for i, entry in enumerate(changed(ground_truth['annotations']))
        ],
    ), changed(results)


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize(
    'change', [lambda key: key - 9, lambda key: key + 2**52], ids=['-', '+']
)
def test_negative_and_huge_ids_change_no_figure(engine, change):
    for seed in range(12):
        data = random_coco(seed, ties=True)
        figures = []
        for ground_truth, results in (
            data,
            with_other_ids(*data, change, change),
        ):
            ground_truth = read_ground_truth(ground_truth)
            result = evaluate(
                ground_truth,
                detections_from_coco(results, ground_truth, 'r'),
                size_bins('coco'),
                engine=engine,
            )
            figures.append((result.precision, result.curves, result.recall))
        for ours, theirs in zip(*figures):
            np.testing.assert_array_equal(ours, theirs)
