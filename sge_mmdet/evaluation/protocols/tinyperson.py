"""Protocol of TinyPerson."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Dict, Optional, Tuple

from ..bins import SizeBin
from ..evaluation_result import EvaluationResult
from ..structures import Detections, GroundTruth
from .base import Protocol, labels_of


@dataclass(frozen=True)
class TinyPerson(Protocol):
    """Protocol of TinyPerson.

    Source: https://github.com/ucas-vg/TinyBenchmark
    (``.../evaluation/coco/cocoeval.py`` with the standard "tiny", as
    ``evaluate_tiny.py`` runs it). It has AP and AR at IoU thresholds of 0.25,
    0.5 and 0.75 with 200 detections per image and class. Objects with
    "ignore" or "uncertain", crowds, and objects of another size are ignored,
    and so are all detections that no object explains and that lie in one of
    them: the intersection over the detection's area (IoD) reaches the
    threshold. Objects of less than a square pixel are never counted.

    The program computes IoD from the IoU and the annotated area; this is the
    same where that is the area of the box.
    """

    name: ClassVar[str] = 'tinyperson'
    metrics: ClassVar[Tuple[str, ...]] = ('bbox',)
    has_coco_rules: ClassVar[bool] = False

    bins: Tuple[SizeBin, ...] = (
        SizeBin('all', 1, math.inf, True),
        SizeBin('tiny', 1, 20, True),
        SizeBin('tiny1', 1, 8, True),
        SizeBin('tiny2', 8, 12, True),
        SizeBin('tiny3', 12, 20, True),
        SizeBin('small', 20, 32, True),
        SizeBin('reasonable', 32, math.inf, True),
    )
    max_dets: Tuple[int, ...] = (200,)
    thresholds: Tuple[float, ...] = (0.25, 0.5, 0.75)

    def _prepare(
        self, ground_truth: GroundTruth, detections: Detections, metric: str
    ) -> Tuple[GroundTruth, Detections]:
        labels = labels_of(ground_truth)
        return replace(
            ground_truth,
            crowd=ground_truth.crowd | labels.ignore | labels.uncertain,
            labels=None,
        ), detections

    def _figures(
        self,
        ground_truth: GroundTruth,
        detections: Detections,
        result: EvaluationResult,
        metric: str,
    ) -> Dict[str, Optional[float]]:
        return {
            f'AR{100 * iou:.0f}': result.ar(iou=iou)
            for iou in result.thresholds
        }
