"""All figures against pycocotools, on data sets that COCO's are not like.

Their ids are negative and not sorted, their scores tie, images have hundreds
of detections of a class, and some of the categories are evaluated.
"""

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sge_mmdet.evaluation import (
    evaluate,
    read_ground_truth,
    resample_figures,
    size_bins,
)
from sge_mmdet.evaluation.bins import with_all_sizes
from sge_mmdet.evaluation.result_json import detections_from_coco
from tests.helpers.engines import ENGINES
from tests.helpers.random_coco import random_coco

BINS = [0, 6, 12, float('inf')]
COPIES = 12


def odd_data(seed):
    """Return ground truth, results, and the names of some categories."""
    random = np.random.default_rng(seed)
    ground_truth, results = random_coco(seed, ties=bool(seed % 2))
    results = [
        dict(
            result,
            bbox=np.abs(
                np.add(result['bbox'], random.normal(0, 1, 4)).round(seed % 3)
            ).tolist(),
            score=float(round(random.random(), 2)),
        )
        for result in results
        for _ in range(COPIES)
    ]
    for entry in (*ground_truth['annotations'], *results):
        entry['image_id'] -= 9
        entry['category_id'] -= 8
    for key, moved in ('images', 9), ('categories', 8):
        for entry in ground_truth[key]:
            entry['id'] -= moved
        random.shuffle(ground_truth[key])
    random.shuffle(ground_truth['annotations'])
    names = [entry['name'] for entry in ground_truth['categories']]
    return ground_truth, results, names[: 1 + seed % len(names)]


def oracle(ground_truth, results, names, max_dets):
    """Return precision and recall by pycocotools, of some categories."""
    truth = COCO()
    truth.dataset = ground_truth
    truth.createIndex()
    run = COCOeval(truth, truth.loadRes(results), 'bbox')
    run.params.catIds = truth.getCatIds(catNms=names)
    run.params.maxDets = [max_dets]
    bins = with_all_sizes(size_bins(BINS))
    run.params.areaRng = [list(bin.area) for bin in bins]
    run.params.areaRngLbl = [bin.name for bin in bins]
    run.evaluate()
    run.accumulate()
    return run.eval['precision'].mean(1), run.eval['recall']


def mean(values):
    values = values[values > -1]
    return values.mean() if values.size else np.nan


@pytest.mark.parametrize('max_dets', [7, 100, 300])
def test_every_figure_is_that_of_pycocotools(max_dets):
    most = 0
    for seed in range(30):
        *data, names = odd_data(seed)
        if not data[1]:
            continue
        ground_truth = read_ground_truth(data[0], names)
        detections = detections_from_coco(data[1], ground_truth, 'r')
        theirs = oracle(*data, names, max_dets)
        for engine in ENGINES:
            ours = evaluate(
                ground_truth,
                detections,
                size_bins(BINS),
                max_dets=(max_dets,),
                engine=engine,
            )
            for got, want in zip((ours.precision, ours.recall), theirs):
                np.testing.assert_allclose(
                    got, want, rtol=0, atol=1e-10, err_msg=f'{seed} {engine}'
                )
        keys = np.stack([detections.image, detections.category])
        most = max(most, *np.unique(keys, axis=1, return_counts=True)[1], 0)
        if len(ground_truth.image):
            figures = resample_figures(
                ground_truth,
                detections,
                size_bins(BINS),
                resamples=2,
                max_dets=max_dets,
            )
            np.testing.assert_allclose(
                [value[0] for value in figures.sizes.values()],
                [
                    mean(theirs[0][..., 0, 0]),
                    mean(theirs[0][0, :, 0, 0]),
                    mean(theirs[0][5, :, 0, 0]),
                    *(mean(theirs[0][..., a, 0]) for a in (1, 2, 3)),
                ],
                # Resamples are in single precision.
                rtol=0,
                atol=1e-7,
                err_msg=f'{seed}',
            )
    assert most > 100
