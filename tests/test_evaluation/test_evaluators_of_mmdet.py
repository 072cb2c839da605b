"""SmallObjectMetric in place of the evaluators in MMDetection's configs."""

import re
from pathlib import Path

import mmdet
import pytest
import torch
from mmengine.config import Config

from sge_mmdet.evaluation import SmallObjectMetric

CONFIGS = Path(mmdet.__file__).parent / '.mim/configs'
# Those that it takes the place of. The last three evaluate as CocoMetric does
# and add figures of their own; LVIS's labels are told when it evaluates.
WORKS = (
    'CocoMetric',
    'LVISMetric',
    'LVISFixedAPMetric',
    'DODCocoMetric',
    'OVCocoMetric',
)
# Keys of results that are no detections with classes.
OTHER_RESULTS = {
    'COCOCaptionMetric': dict(pred_caption='a dog'),
    'CocoVideoMetric': dict(video_data_samples=[]),
}
# Arguments that only the other evaluators have, or metrics.
REFUSED = {
    # Of one config; CocoMetric refuses it too.
    'CocoMetric': 'no argument eval_mode',
    'CityScapesMetric': 'no argument seg_prefix',
    'CocoPanopticMetric': 'no argument seg_prefix',
    'CrowdHumanMetric': 'metric should be one of .* but got AP',
    'DumpODVGResults': 'no argument outfile_path',
    'MOTChallengeMetric': 'got HOTA|no argument (use_)?postprocess',
    'MOTChallengeMetrics': 'no argument postprocess_tracklet_cfg',
    'OpenImagesMetric': 'no argument ioa_thrs',
    'ReIDMetrics': 'metric should be one of .* but got mAP',
    'RefExpMetric': 'no argument topk',
    'RefSegMetric': 'metric should be one of .* but got cIoU',
    'SemSegMetric': 'no argument iou_metrics',
    'VOCMetric': 'no argument eval_mode',
    'YouTubeVISMetric': 'but got youtube_vis_ap',
    'gRefCOCOMetric': 'no argument thresh_score',
}
# Bases of these configs are missing in MMDetection 3.3.0.
BROKEN = (
    'bytetrack_yolox_x_8xb4-amp-80e_crowdhuman-mot17halftrain_test-mot17test',
    'faster-rcnn_r50_fpn_8xb2-4e_mot17train_test-mot17train',
    'faster-rcnn_r50_fpn_8xb2-8e_mot20halftrain_test-mot20halfval',
    'faster-rcnn_r50_fpn_8xb2-8e_mot20train_test-mot20train',
)


def flat(evaluator):
    """Return the options of each evaluator in a config's value."""
    if isinstance(evaluator, (list, tuple)):
        return [options for one in evaluator for options in flat(one)]
    if 'metrics' in evaluator:
        return flat(evaluator['metrics'])
    # Files and names of figures say nothing about what is measured.
    names = 'ann_file', 'outfile_prefix', 'prefix'
    return [{k: v for k, v in evaluator.items() if k not in names}]


def evaluators():
    """Return the different evaluators, with a config of each."""
    rows = {}
    for path in sorted(CONFIGS.rglob('*.py')):
        # The other configs inherit theirs.
        if path.stem in BROKEN or not re.search(
            r'^(val|test)_evaluator\b', path.read_text(), re.M
        ):
            continue
        config = Config.fromfile(path)
        for key in 'val_evaluator', 'test_evaluator':
            for options in flat(config.get(key) or []):
                name = f'{path.stem}-{options["type"]}'
                rows.setdefault(repr(options), (name, options))
    return list(rows.values())


@pytest.fixture(scope='module', name='rows')
def _rows():
    return evaluators()


def is_plain(kind, options):
    return kind in WORKS and 'eval_mode' not in options


def test_every_evaluator_works_or_is_refused_with_the_reason(rows):
    kinds = {options['type'] for _, options in rows}
    assert kinds == {*WORKS, *REFUSED, *OTHER_RESULTS, 'Flickr30kMetric'}
    assert len(rows) > 40
    for name, options in rows:
        options = dict(options)
        kind = options.pop('type')
        if is_plain(kind, options):
            assert SmallObjectMetric(**options).max_dets == 100, name
        elif kind in OTHER_RESULTS:
            metric = SmallObjectMetric(**options)
            with pytest.raises(KeyError, match='keep the evaluator'):
                metric.process({}, [dict(img_id=1, **OTHER_RESULTS[kind])])
        elif kind == 'Flickr30kMetric':
            refuse_phrases(SmallObjectMetric(**options))
        else:
            with pytest.raises((KeyError, TypeError), match=REFUSED[kind]):
                SmallObjectMetric(**options)


def refuse_phrases(metric):
    """Refuse detections of phrases, which have no classes."""
    metric.dataset_meta = {}
    found = dict(
        bboxes=torch.zeros(1, 4),
        scores=torch.ones(1),
        labels=torch.zeros(1).long(),
    )
    sample = dict(img_id=1, pred_instances=found, ori_shape=(9, 9))
    with pytest.raises(AssertionError, match='ground truth is required'):
        metric.process({}, [sample])
    metric.process({}, [dict(sample, instances=[])])
    with pytest.raises(ValueError, match=r'keep their own evaluator'):
        metric.evaluate(1)
