"""AI-TOD's protocol, with pycocotools as the oracle."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sge_mmdet.evaluation import SmallObjectMetric
from sge_mmdet_cli import evaluate
from tests.helpers.engines import ENGINES
from tests.helpers.random_coco import random_coco

NAMES = ['all', 'very_tiny', 'tiny', 'small', 'medium']
# As in AI-TOD's own program.
AREAS = [
    [0, 1e5**2],
    [0, 8**2],
    [8**2, 16**2],
    [16**2, 32**2],
    [32**2, 1e5**2],
]


def oracle(ground_truth, results):
    """Return AP, AP25, AP50 and AR of each size."""
    truth = COCO()
    truth.dataset = ground_truth
    truth.createIndex()
    found = truth.loadRes(results)
    figures = []
    for thresholds in np.linspace(0.5, 0.95, 10), [0.25], [0.5]:
        run = COCOeval(truth, found, 'bbox')
        run.params.iouThrs = np.array(thresholds)
        run.params.maxDets = [1500]
        run.params.areaRng = AREAS
        run.params.areaRngLbl = NAMES
        run.evaluate()
        run.accumulate()
        values = [run.eval['precision'], run.eval['recall']]
        figures.append(
            [
                [mean(value[..., a, -1]) for a in range(len(NAMES))]
                for value in values
            ]
        )
    (ap, ar), (ap25, _), (ap50, _) = figures
    return dict(AP=ap, AP25=ap25, AP50=ap50, AR=ar)


def mean(values):
    values = values[values > -1]
    return values.mean() if values.size else None


@pytest.mark.parametrize('engine', ENGINES)
def test_the_tool_evaluates_as_ai_tod_does(tmp_path, capsys, engine):
    for seed in (3, 5, 8):
        ground_truth, results = random_coco(seed, images=4)
        truth, found = tmp_path / 'truth.json', tmp_path / 'results.json'
        truth.write_text(json.dumps(ground_truth))
        found.write_text(json.dumps(results))
        args = [str(truth), str(found), '--size-bins', 'aitod']
        args += ['--engine', engine, '--overwrite']
        evaluate.main([*args, '--out-dir', str(tmp_path / 'out')])
        assert 'at most 1500 an image' in capsys.readouterr().out
        report = json.loads((tmp_path / 'out/evaluation.json').read_text())
        assert [row['size'] for row in report['sizes']] == NAMES
        for name, values in oracle(ground_truth, results).items():
            assert [row[name] for row in report['sizes']] == (
                pytest.approx(values, abs=1e-10)
            ), name


def test_other_bins_have_coco_s_figures_only(tmp_path):
    for bins in 'coco', [0, 8, float('inf')]:
        metric = SmallObjectMetric(size_bins=bins)
        assert (metric.max_dets, metric.protocol.extra_thresholds) == (100, ())
    metric = SmallObjectMetric(size_bins='aitod')
    assert (metric.max_dets, metric.protocol.extra_thresholds) == (
        1500,
        (0.25,),
    )
    assert SmallObjectMetric(size_bins='aitod', max_dets=9).max_dets == 9
