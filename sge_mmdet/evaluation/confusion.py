"""Which classes a detector confuses, and how right its scores are, by size."""

from dataclasses import dataclass, replace
from typing import List, Optional, Sequence, Tuple

import numpy as np

from .bins import SizeBin
from .matching import Matches, match
from .operating_points import HIT_OVERLAP
from .statuses import HIT, MISSED
from .structures import Detections, GroundTruth
from .subsets import is_counted, take_rows

# Number of bins of equal width between the scores 0 and 1.
SCORE_BINS = 10


@dataclass(frozen=True)
class Confusion:
    """Classes of objects of a size and of the detections that hit them.

    Attributes:
        bin: Bin of object sizes.
        score_threshold: Lowest score of the detections that count.
        matrix: Numbers of shape (classes + 1, classes + 1). Row k has the
            objects of class k, by the class of their detections; its last
            column has those that no detection hit. The last row has the
            detections that hit no object.
        category_names: Names of the classes.
    """

    bin: SizeBin
    score_threshold: float
    matrix: np.ndarray
    category_names: List[str]

    def pairs(self) -> List[Tuple[str, str, int, float]]:
        """Return the classes that were confused, the most frequent ones first.

        Returns:
            list[tuple[str, str, int, float]]: Class of the objects, class of
            the detections, number, and share of the objects of the class.
        """
        classes = self.matrix[:-1, :-1].copy()
        np.fill_diagonal(classes, 0)
        totals = self.matrix[:-1].sum(1)
        rows, columns = np.nonzero(classes)
        numbers = classes[rows, columns]
        return [
            (
                self.category_names[rows[i]],
                self.category_names[columns[i]],
                int(numbers[i]),
                float(numbers[i] / totals[rows[i]]),
            )
            for i in np.argsort(-numbers, kind='stable')
        ]


@dataclass(frozen=True)
class Calibration:
    """Scores of detections of a size, beside the share that hits an object.

    The detections are in ten bins of equal width between the scores 0 and 1.

    Attributes:
        bin: Bin of object sizes.
        counts: Number of detections in each bin of scores, of shape (10,).
        scores: Mean score in each, of shape (10,); 0 without detections.
        precision: Share that hits an object, of shape (10,); 0 without
            detections.
    """

    bin: SizeBin
    counts: np.ndarray
    scores: np.ndarray
    precision: np.ndarray

    @property
    def expected_error(self) -> Optional[float]:
        """Optional[float]: Mean gap of score and precision over detections."""
        if not self.counts.any():
            return None
        return float(self._gaps() @ self.counts / self.counts.sum())

    @property
    def largest_error(self) -> Optional[float]:
        """Optional[float]: Largest gap of score and precision."""
        if not self.counts.any():
            return None
        return float(self._gaps()[self.counts > 0].max())

    def _gaps(self) -> np.ndarray:
        return np.abs(self.scores - self.precision)


def calibrate(matches: Matches, bin: SizeBin) -> Optional[Calibration]:
    """Compare scores with the share of the detections that hit an object.

    Args:
        matches (Matches): Matches for this bin, at one IoU.
        bin (SizeBin): Bin of object sizes.

    Returns:
        Calibration or None: The comparison; None if scores are beyond 0 to 1.
    """
    status = matches.status[:, 0, 0]
    hit = status == HIT
    counts = hit | ((status == MISSED) & matches.inside[:, 0])
    score, hit = matches.score[counts], hit[counts]
    if len(score) and not (score.min() >= 0 and score.max() <= 1):
        return None
    place = np.minimum((score * SCORE_BINS).astype(int), SCORE_BINS - 1)
    number, total, hits = (
        np.bincount(place, weights, SCORE_BINS)
        for weights in (None, score, hit)
    )
    divisor = np.maximum(number, 1)
    return Calibration(bin, number, total / divisor, hits / divisor)


def confuse(
    ground_truth: GroundTruth,
    detections: Detections,
    bins: Sequence[SizeBin],
    metric: str,
    matches: Matches,
    score_thresholds: Sequence[float],
) -> List[Confusion]:
    """Count which classes are taken for which, by object size.

    Within an image, detections of all classes choose in the order of their
    scores. Each takes the free object that it overlaps most, whatever the
    classes, from an IoU of 0.5 on.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        bins (Sequence[SizeBin]): Bins of object sizes.
        metric (str): Metric, "bbox" or "segm".
        matches (Matches): Matches of any bins, whose detections count.
        score_thresholds (Sequence[float]): Lowest score of the detections
            that count, for each bin.

    Returns:
        list[Confusion]: Numbers for each bin.
    """
    objects = replace(
        ground_truth,
        category=np.zeros_like(ground_truth.category),
        category_ids=ground_truth.category_ids[:1],
        category_names=ground_truth.category_names[:1],
    )
    found = []
    for bin, score in zip(bins, score_thresholds):
        chosen = np.zeros(len(detections.image), bool)
        chosen[matches.index[matches.score >= score]] = True
        found.append(
            _confuse(
                ground_truth,
                objects,
                take_rows(detections, chosen),
                bin,
                metric,
                score,
            )
        )
    return found


def _confuse(
    ground_truth: GroundTruth,
    objects: GroundTruth,
    detections: Detections,
    bin: SizeBin,
    metric: str,
    score: float,
) -> Confusion:
    """Return the confusion of one size.

    Args:
        ground_truth (GroundTruth): The ground truth.
        objects (GroundTruth): The same with a single class.
        detections (Detections): Detections that count.
        bin (SizeBin): Bin of object sizes.
        metric (str): Metric, "bbox" or "segm".
        score (float): Lowest score, for the result.
    """
    classes = len(ground_truth.category_ids)
    of_one = replace(detections, category=np.zeros_like(detections.category))
    matches = match(
        objects,
        of_one,
        [bin],
        metric,
        [HIT_OVERLAP],
        max(1, len(detections.image)),
    )
    status, partner = matches.status[:, 0, 0], matches.partner[:, 0, 0]
    hit, false = status == HIT, (status == MISSED) & matches.inside[:, 0]
    category = detections.category[matches.index]
    inside = is_counted(ground_truth, bin)
    inside[partner[hit]] = False
    missed = ground_truth.category[inside]
    rows = [
        ground_truth.category[partner[hit]],
        np.full(false.sum(), classes),
        missed,
    ]
    columns = [category[hit], category[false], np.full(len(missed), classes)]
    matrix = np.zeros((classes + 1, classes + 1), int)
    np.add.at(matrix, (np.concatenate(rows), np.concatenate(columns)), 1)
    return Confusion(bin, score, matrix, list(ground_truth.category_names))
