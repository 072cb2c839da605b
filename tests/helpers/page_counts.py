"""The counts of report.html, which report.js makes, computed in Python.

Tests of the page compare both.
"""

from typing import Dict, NamedTuple, Optional, Tuple

import numpy as np
from scipy.signal import convolve
from scipy.stats import binom

from sge_mmdet.evaluation import Detections, GroundTruth
from sge_mmdet.evaluation.errors import count_kinds
from sge_mmdet.evaluation.interactive.outcomes import (
    DETECTION_KINDS,
    OBJECT_KINDS,
    Outcomes,
)
from sge_mmdet.evaluation.ranks import is_last_of_run

_HIT = DETECTION_KINDS.index('hit')
_IGNORED = DETECTION_KINDS.index('ignored')


class Exchange(NamedTuple):
    """Objects that the second detector gained and lost.

    Attributes:
        gained: Number of objects that the second detector hits and the first
            misses.
        lost: Number of objects that the first detector hits and the second
            misses.
        images: Number of images, or groups of images, with such an object.
        p: Two-sided p-value of the hypothesis that an image's gains and losses
            could as well be exchanged. With one object an image it is
            McNemar's exact test.
    """

    gained: int
    lost: int
    images: int
    p: float


def gained_and_lost(
    a: Outcomes, b: Outcomes, score_a: float, score_b: float
) -> np.ndarray:
    """Return which objects the second detector gained and lost.

    Args:
        a (Outcomes): Outcomes of the first detector.
        b (Outcomes): Outcomes of the second one, on the same ground truth.
        score_a (float): Lowest score of the first detector's detections.
        score_b (float): Lowest score of the second detector's detections.

    Returns:
        np.ndarray: 1 for a gain, -1 for a loss and 0 otherwise, of shape (m,).
    """
    hit_a = a.hit_score >= np.float32(score_a)
    hit_b = b.hit_score >= np.float32(score_b)
    return hit_b.astype(int) - hit_a


def exchange_of(
    change: np.ndarray, image: np.ndarray, groups: Optional[np.ndarray] = None
) -> Exchange:
    """Test whether gains and losses could as well be exchanged.

    Objects in an image are alike, so that the sign of the difference of an
    image is what chance decides (a permutation test). Its exact distribution
    is the convolution of binomial ones, one for each absolute difference.

    Args:
        change (np.ndarray): 1, -1 or 0 for each object, of shape (m,).
        image (np.ndarray): Index of each object's image, of shape (m,).
        groups (np.ndarray, optional): Group of each image, where images of a
            group are alike. Default: None, each image is a group.

    Returns:
        Exchange: Counts and p-value.
    """
    cluster = image if groups is None else groups[image]
    changed = change != 0
    names, place = np.unique(cluster[changed], return_inverse=True)
    differences = np.bincount(
        place.reshape(-1), change[changed], minlength=len(names)
    ).astype(int)
    return Exchange(
        int((change > 0).sum()),
        int((change < 0).sum()),
        len(names),
        sign_flip_p(differences),
    )


def sign_flip_p(differences: np.ndarray) -> float:
    """Return the two-sided p-value of a sum whose terms' signs are random.

    Args:
        differences (np.ndarray): Whole numbers.
    """
    sizes, counts = np.unique(np.abs(differences), return_counts=True)
    distribution = np.ones(1)
    reach = 0
    for size, count in zip(sizes.tolist(), counts.tolist()):
        if not size:
            continue
        # Sums of this size, from -size * count up in steps of 2 * size.
        steps = np.zeros(2 * size * count + 1)
        steps[:: 2 * size] = binom.pmf(np.arange(count + 1), count, 0.5)
        distribution = convolve(distribution, steps)
        reach += size * count
    sums = np.arange(-reach, reach + 1)
    far = np.abs(sums) >= abs(int(differences.sum()))
    # A convolution by Fourier transform errs around zero, on both sides.
    return float(np.clip(distribution[far].sum(), 0, 1))


def threshold_of_precision(
    kinds: np.ndarray, scores: np.ndarray, precision: float
) -> Optional[float]:
    """Return the lowest score at which a precision is reached.

    Args:
        kinds (np.ndarray): Kinds of detections, as ``Outcomes.kind``.
        scores (np.ndarray): Scores of these detections, descending.
        precision (float): Precision to reach, in [0, 1].

    Returns:
        float or None: The score; None if no threshold reaches the precision.
    """
    counted = kinds != _IGNORED
    hit = np.cumsum(kinds[counted] == _HIT)
    found = hit / np.arange(1, len(hit) + 1)
    scores = scores[counted].astype(np.float32)
    # Detections of one score are taken together.
    reached = np.flatnonzero(is_last_of_run(scores) & (found >= precision))
    return float(scores[reached[-1]]) if len(reached) else None


def count_outcomes(
    outcomes: Outcomes,
    ground_truth: GroundTruth,
    detections: Detections,
    score: float,
    sizes: Tuple[float, float] = (0, float('inf')),
    category: Optional[int] = None,
) -> Dict[str, Dict[str, int]]:
    """Count objects and false detections by kind, as the page does.

    Args:
        outcomes (Outcomes): Result of :func:`find_outcomes`.
        ground_truth (GroundTruth): Its ground truth.
        detections (Detections): Its detections.
        score (float): Lowest score of the detections that count.
        sizes (tuple[float, float]): Smallest and largest square root of an
            object's or a false detection's area, in pixels; both belong to
            the range. Default: every size.
        category (int, optional): Index of a category. Default: None, all.

    Returns:
        dict: ``objects`` and ``detections`` by kind.
    """
    least = np.float32(score)
    obj, det = outcomes.object, outcomes.detection
    in_view = _is_in_view(
        ground_truth.area[obj], ground_truth.category[obj], sizes, category
    )
    shown = _is_in_view(
        detections.area[det], detections.category[det], sizes, category
    ) & (detections.score[det].astype(np.float32) >= least)
    # A hit belongs to the object's size, and an ignored detection to none.
    is_hit = outcomes.partner >= 0
    is_loud = detections.score[det].astype(np.float32) >= least
    shown = np.where(is_hit, is_loud & in_view[outcomes.partner], shown)
    kinds = outcomes.object_kinds(score)[in_view]
    return dict(
        objects=count_kinds(kinds, OBJECT_KINDS),
        detections=count_kinds(outcomes.kind[shown], DETECTION_KINDS),
    )


def _is_in_view(
    area: np.ndarray,
    categories: np.ndarray,
    sizes: Tuple[float, float],
    category: Optional[int],
) -> np.ndarray:
    area = area.astype(np.float32)
    low, high = np.float32(sizes[0] ** 2), np.float32(sizes[1] ** 2)
    chosen: np.ndarray = (area >= low) & (area <= high)
    return chosen if category is None else chosen & (categories == category)
