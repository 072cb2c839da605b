"""SmallObjectMetric in place of the evaluators in MMDetection's configs."""

from pathlib import Path

import mmdet
import pytest
from mmengine.config import Config

from sge_mmdet.evaluation import SmallObjectMetric

DATASETS = Path(mmdet.__file__).parent / '.mim/configs/_base_/datasets'
# Those that it takes the place of. LVIS's labels are told when it evaluates.
WORKS = ('CocoMetric', 'LVISMetric')
# Arguments that only the other evaluators have.
REFUSED = {
    'CityScapesMetric': 'seg_prefix',
    'CocoPanopticMetric': 'seg_prefix',
    'CrowdHumanMetric': 'AP',
    'MOTChallengeMetric': 'HOTA',
    'OpenImagesMetric': 'ioa_thrs|use_group_of|iou_thrs',
    'ReIDMetrics': 'CMC|mAP',
    'RefSegMetric': 'cIoU',
    'SemSegMetric': 'iou_metrics',
    'VOCMetric': 'eval_mode|mAP',
    'YouTubeVISMetric': 'youtube_vis_ap',
}


def evaluators():
    """Return the different evaluators, with a data set of each."""
    rows = {}
    for path in sorted(DATASETS.glob('*.py')):
        found = Config.fromfile(path).get('val_evaluator') or ()
        for evaluator in [found] if isinstance(found, dict) else found:
            options = dict(evaluator)
            # The file is not here.
            options.pop('ann_file', None)
            rows.setdefault(repr(options), (path.stem, options))
    return list(rows.values())


@pytest.mark.parametrize(
    'options', [pytest.param(row, id=name) for name, row in evaluators()]
)
def test_every_evaluator_works_or_is_refused_with_the_reason(options):
    kind = options.pop('type')
    if kind in WORKS:
        metric = SmallObjectMetric(**options)
        assert metric.max_dets == 100
        return
    if kind == 'COCOCaptionMetric':
        # It has no arguments of its own, but no detections either.
        with pytest.raises(KeyError, match='pred_instances'):
            SmallObjectMetric(**options).process(
                {}, [dict(img_id=1, pred_caption='a dog')]
            )
        return
    with pytest.raises((KeyError, TypeError), match=REFUSED[kind]):
        SmallObjectMetric(**options)
