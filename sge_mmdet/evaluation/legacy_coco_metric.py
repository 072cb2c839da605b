"""COCO evaluation of detectors that were trained with MMDetection 0.6."""

from typing import List

import numpy as np
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS

from ..utils.registration import register


@register(METRICS)
class LegacyCocoMetric(CocoMetric):
    """CocoMetric for boxes whose last pixel is x2, y2.

    MMDetection before 2.0 defined boxes that way, with a width of
    x2 - x1 + 1. Without the 1 every box is a pixel too small, which lowers the
    AP of small objects most. Arguments are those of ``CocoMetric``.
    """

    def xyxy2xywh(self, bbox: np.ndarray) -> List[float]:
        """Convert a box (x1, y1, x2, y2) to (x, y, width, height).

        Args:
            bbox (np.ndarray): Box in pixels, of shape (4,).
        """
        x, y, width, height = super().xyxy2xywh(bbox)
        return [x, y, width + 1, height + 1]
