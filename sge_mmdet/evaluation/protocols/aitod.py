"""Protocols of AI-TOD and AI-TOD-v2, with optimal LRP."""

from dataclasses import dataclass
from typing import ClassVar, Dict, List, Optional, Tuple

import numpy as np

from ..bins import ALL_SIZES, SizeBin, size_bins
from ..evaluation_result import EvaluationResult
from ..matching import match
from ..overlaps import overlaps
from ..settings import METRICS
from ..statuses import HIT, MISSED
from ..structures import Detections, GroundTruth
from .base import Protocol

# IoU threshold of optimal LRP.
LRP_OVERLAP = 0.5


@dataclass(frozen=True)
class AITOD(Protocol):
    """Protocol of AI-TOD.

    Source: https://github.com/jwwangchn/cocoapi-aitod
    (``aitodpycocotools/cocoeval.py``). It is COCO's with other sizes (very
    tiny up to 8 pixels, tiny up to 16, small up to 32, medium above), recall
    at 1, 100 and 1,500 detections per image and class, AP with 1,500, and AP
    at an IoU of 0.25.

    Optimal LRP (oLRP) is the smallest localisation-recall-precision error of
    each class over all score thresholds, at an IoU of 0.5: K. Oksuz et al.,
    "Localization Recall Precision (LRP)", ECCV 2018. It is 1 for a class
    without hits. Its parts (localisation, false positives, false negatives)
    are means over the classes that have them. Lower is better.
    """

    name: ClassVar[str] = 'aitod'

    bins: Tuple[SizeBin, ...] = tuple(size_bins('aitod'))
    max_dets: Tuple[int, ...] = (1, 100, 1500)
    extra_thresholds: Tuple[float, ...] = (0.25,)

    def _figures(
        self,
        ground_truth: GroundTruth,
        detections: Detections,
        result: EvaluationResult,
        metric: str,
    ) -> Dict[str, Optional[float]]:
        if metric not in METRICS[:2]:
            return {}
        return optimal_lrp(ground_truth, detections, metric, self.counted)


@dataclass(frozen=True)
class AITODv2(AITOD):
    """Protocol of AI-TOD-v2, which has other annotations than AI-TOD.

    Source: https://github.com/Chasel-Tsui/mmdet-aitod, which evaluates
    AI-TOD-v2 with AI-TOD's program. All settings are those of AI-TOD.
    """

    name: ClassVar[str] = 'aitod-v2'


def optimal_lrp(
    ground_truth: GroundTruth,
    detections: Detections,
    metric: str = 'bbox',
    max_dets: int = 100,
) -> Dict[str, Optional[float]]:
    """Return optimal LRP and its parts, means over the classes.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        metric (str): Metric, "bbox" or "segm". Default: "bbox".
        max_dets (int): Largest number of detections per image and class.
            Default: 100.

    Returns:
        dict[str, float]: "oLRP", "oLRP_Localisation", "oLRP_FP" and "oLRP_FN"
        in [0, 1]; None without objects or, for parts, without hits.
    """
    matches = match(
        ground_truth, detections, [ALL_SIZES], metric, [LRP_OVERLAP], max_dets
    )
    status, partner = matches.status[:, 0, 0], matches.partner[:, 0, 0]
    hits = np.flatnonzero(status == HIT)
    distance = np.zeros(len(status))
    distance[hits] = 1 - overlaps(
        ground_truth, detections, partner[hits], matches.index[hits], metric
    )
    classes: List[Tuple[float, ...]] = []
    objects = np.asarray(matches.objects.sum(1)).ravel()
    limits = np.searchsorted(matches.category, np.arange(len(objects) + 1))
    for k in np.flatnonzero(objects).tolist():
        own = slice(limits[k], limits[k + 1])
        classes.append(
            _lrp_of_class(
                status[own] == HIT,
                (status[own] == MISSED) & matches.inside[own, 0],
                distance[own],
                objects[k],
            )
        )
    names = 'oLRP', 'oLRP_Localisation', 'oLRP_FP', 'oLRP_FN'
    columns = np.array(classes).reshape(-1, len(names)).T
    present = [column[~np.isnan(column)] for column in columns]
    return {
        name: float(column.mean()) if len(column) else None
        for name, column in zip(names, present)
    }


def _lrp_of_class(
    hit: np.ndarray, false: np.ndarray, distance: np.ndarray, objects: float
) -> Tuple[float, ...]:
    """Return optimal LRP of a class and its parts, NaN where there are none.

    Args:
        hit (np.ndarray): Which detections are hits, by descending score, of
            shape (n,).
        false (np.ndarray): Which are false, of shape (n,).
        distance (np.ndarray): 1 - IoU of the hits, else 0, of shape (n,).
        objects (float): Number of objects of the class.
    """
    if not hit.any():
        return 1.0, np.nan, np.nan, 1.0
    hits, falses, away = np.cumsum(hit), np.cumsum(false), np.cumsum(distance)
    missed = objects - hits
    error = (away / (1 - LRP_OVERLAP) + falses + missed) / (objects + falses)
    best = int(np.argmin(error))
    if not hits[best] + falses[best]:
        return float(error[best]), np.nan, np.nan, 1.0
    return (
        float(error[best]),
        float(away[best] / hits[best]) if hits[best] else np.nan,
        float(falses[best] / (hits[best] + falses[best])),
        float(missed[best] / objects),
    )
