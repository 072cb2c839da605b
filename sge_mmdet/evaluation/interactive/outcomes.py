"""What became of every object and of every detection, at any score.

Detections choose objects in the order of their scores. So a lower score
threshold only adds detections, and one matching answers for all thresholds:
an object is hit from the score of its detection on. An interactive page can
then count by itself.
"""

from dataclasses import dataclass
from typing import Optional

import numpy as np

from ..bins import ALL_SIZES
from ..errors import (
    FALSE_KINDS,
    MISS_KINDS,
    NO_SCORE,
    explain_errors,
)
from ..matching import Matches, match
from ..operating_points import HIT_OVERLAP
from ..statuses import HIT, IGNORED, MISSED
from ..structures import Detections, GroundTruth
from ..subsets import is_counted

# What became of an object, and what a detection is.
OBJECT_KINDS = ('hit', *MISS_KINDS)
DETECTION_KINDS = ('hit', *FALSE_KINDS, 'ignored')


@dataclass(frozen=True)
class Outcomes:
    """What became of objects and detections, at an overlap of 0.5.

    Kinds are those of :class:`~sge_mmdet.evaluation.ErrorBreakdown`. Scores
    are in float32, since the page computes with them, and negative infinity
    where there is no such detection.

    Attributes:
        object: Positions of the m objects that are not ignored in the
            :class:`GroundTruth`.
        hit_score: Score of the detection that hits each object, of shape (m,).
        near_score: Highest score of an unmatched detection of the object's
            class that overlaps it by 0.1 or more, of shape (m,).
        class_score: Highest score of an unmatched detection of another class
            that overlaps it by 0.5 or more, of shape (m,).
        class_of: Category of that detection, or -1, of shape (m,).
        detection: Positions of the n detections that count in the
            :class:`Detections`, by descending score.
        kind: Index of each detection's kind in ``DETECTION_KINDS``, of shape
            (n,).
        partner: Which of the m objects each detection hits, or -1, of shape
            (n,).
    """

    object: np.ndarray
    hit_score: np.ndarray
    near_score: np.ndarray
    class_score: np.ndarray
    class_of: np.ndarray
    detection: np.ndarray
    kind: np.ndarray
    partner: np.ndarray

    def object_kinds(self, score: float) -> np.ndarray:
        """Return what becomes of each object at a score threshold.

        Args:
            score (float): Lowest score of the detections that count.

        Returns:
            np.ndarray: Positions in ``OBJECT_KINDS``, of shape (m,).
        """
        least = np.float32(score)
        return np.select(
            [
                self.hit_score >= least,
                self.near_score >= least,
                self.class_score >= least,
            ],
            [0, 1, 2],
            3,
        )


def find_outcomes(
    ground_truth: GroundTruth,
    detections: Detections,
    metric: str = 'bbox',
    max_dets: int = 100,
    matches: Optional[Matches] = None,
) -> Outcomes:
    """Match detections of every size to objects, and sort the errors by kind.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        metric (str): Metric, "bbox" or "segm". Default: "bbox".
        max_dets (int): Largest number of detections per image and class; the
            others do not exist. Default: 100.
        matches (Matches, optional): Their matches for the bin
            ``ALL_SIZES`` and an IoU of 0.5, if they are known. Default:
            None.

    Returns:
        Outcomes: What became of each object and detection.
    """
    if matches is None:
        matches = match(
            ground_truth,
            detections,
            [ALL_SIZES],
            metric,
            [HIT_OVERLAP],
            max_dets,
        )
    by_score = np.argsort(-matches.score, kind='stable')
    index = matches.index[by_score]
    status = matches.status[by_score, 0, 0]
    is_hit = status == HIT
    objects = np.flatnonzero(is_counted(ground_truth))
    place = np.full(len(ground_truth.image), -1, np.int32)
    place[objects] = np.arange(len(objects))
    partner = np.full(len(index), -1, np.int32)
    partner[is_hit] = place[matches.partner[by_score, 0, 0][is_hit]]
    hit_score = np.full(len(objects), NO_SCORE, np.float32)
    hit_score[partner[is_hit]] = detections.score[index[is_hit]]
    near_score, class_score, class_of, false_kind = explain_errors(
        ground_truth, detections, np.sort(index[status == MISSED]), metric
    )
    # False kinds stand together in both.
    kind = false_kind + DETECTION_KINDS.index(FALSE_KINDS[0])
    kind[index[is_hit]] = DETECTION_KINDS.index('hit')
    kind[index[status == IGNORED]] = DETECTION_KINDS.index('ignored')
    return Outcomes(
        objects,
        hit_score,
        near_score[objects],
        class_score[objects],
        class_of[objects],
        index,
        kind[index],
        partner,
    )
