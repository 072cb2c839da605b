import numpy as np
from mmdet.registry import METRICS

from sge_mmdet.evaluation import LegacyCocoMetric


def test_boxes_are_written_with_their_last_pixel():
    metric = METRICS.build(dict(type='LegacyCocoMetric'))
    assert isinstance(metric, LegacyCocoMetric)
    assert metric.xyxy2xywh(np.array([3.0, 4, 12, 23])) == [3, 4, 10, 20]
