"""COCO evaluation of detectors that were trained with MMDetection 0.6."""

from typing import List

import numpy as np
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS

from ..utils.registration import register


@register(METRICS)
class LegacyCocoMetric(CocoMetric):
    """CocoMetric for boxes that end at their last pixel.

    MMDetection before 2.0 read a box that way and wrote its width as
    x2 - x1 + 1. Without the 1 every box is a pixel short, which costs small
    objects the most. Options are those of ``CocoMetric``.
    """

    def xyxy2xywh(self, bbox: np.ndarray) -> List[float]:
        """Return (x, y, width, height) of a box, in pixels."""
        x, y, width, height = super().xyxy2xywh(bbox)
        return [x, y, width + 1, height + 1]
