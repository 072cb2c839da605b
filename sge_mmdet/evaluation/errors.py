"""Errors on objects of one size, by kind."""

from dataclasses import dataclass
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .bins import SizeBin
from .matching import Matches, match
from .operating_points import HIT_OVERLAP, points_of_matches
from .overlaps import overlapping_pairs
from .statuses import HIT, MISSED
from .structures import Detections, GroundTruth
from .subsets import is_counted

# Detections with a lower overlap have nothing to do with an object.
LOWEST_OVERLAP = 0.1
MISS_KINDS = ('localisation', 'class', 'missed')
FALSE_KINDS = ('duplicate', 'localisation', 'class', 'background')
# Score of a detection that does not exist, below any threshold. Scores such
# as logits may be negative.
NO_SCORE = float('-inf')


@dataclass(frozen=True)
class ErrorBreakdown:
    """Errors on objects of a size, at an overlap of 0.5.

    An object that is not hit has one of three kinds. "localisation": a
    detection of its class overlaps it by 0.1 to 0.5. "class": a detection of
    another class overlaps it by 0.5 or more. "missed": neither. A detection
    that hit another object, of any size, or a crowd explains no miss.

    A false detection has one of four kinds. "duplicate": it overlaps an object
    of its class that another detection hit. "localisation": it overlaps an
    object of its class by 0.1 to 0.5. "class": it overlaps an object of
    another class by 0.5 or more. "background": none of these.

    Attributes:
        bin: Bin of object sizes.
        score_threshold: Lowest score of the detections that count.
        objects: Number of objects of the size, without crowds.
        hits: Number of these objects that were hit.
        misses: Number of the other objects, by kind.
        false: Number of false detections of the size, by kind.
        missed: Positions of the objects of the kind "missed", by descending
            area.
    """

    bin: SizeBin
    score_threshold: float
    objects: int
    hits: int
    misses: Dict[str, int]
    false: Dict[str, int]
    missed: np.ndarray


class Explanation(NamedTuple):
    """What objects and detections would be as errors.

    Attributes:
        near_score: Highest score of an unmatched detection of the object's
            class that overlaps it by 0.1 or more, of shape (objects,);
            negative infinity without any. Scores are in float32.
        class_score: Highest score of an unmatched detection of another class
            that overlaps it by 0.5 or more, of shape (objects,).
        class_of: Category of that detection, or -1, of shape (objects,).
        kind: Position in ``FALSE_KINDS`` of each detection, of shape
            (detections,).
    """

    near_score: np.ndarray
    class_score: np.ndarray
    class_of: np.ndarray
    kind: np.ndarray


def break_down_errors(
    ground_truth: GroundTruth,
    detections: Detections,
    bin: SizeBin,
    metric: str = 'bbox',
    score_threshold: Optional[float] = None,
    max_dets: int = 100,
) -> ErrorBreakdown:
    """Sort the errors on objects of a size by kind.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        bin (SizeBin): Bin of object sizes.
        metric (str): Metric, "bbox" or "segm". Default: "bbox".
        score_threshold (float, optional): Lowest score of the detections that
            count. Default: None, the score with the highest F1 on objects of
            the size, or 0.3 if no detection hits any.
        max_dets (int): Largest number of detections per image and class; the
            others do not exist. Default: 100.

    Returns:
        ErrorBreakdown: Numbers of errors by kind.
    """
    matches = match(
        ground_truth, detections, [bin], metric, [HIT_OVERLAP], max_dets
    )
    if score_threshold is None:
        score_threshold = points_of_matches(
            matches, [bin], ground_truth.category_names
        ).threshold(bin.name)
    return errors_of_matches(
        ground_truth, detections, bin, metric, matches, score_threshold
    )


def errors_of_matches(
    ground_truth: GroundTruth,
    detections: Detections,
    bin: SizeBin,
    metric: str,
    matches: Matches,
    score_threshold: float,
) -> ErrorBreakdown:
    """Sort the errors of matched detections by kind.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        bin (SizeBin): Bin of object sizes.
        metric (str): Metric, "bbox" or "segm".
        matches (Matches): Matches for this bin and an IoU of 0.5.
        score_threshold (float): Lowest score of the detections that count.

    Returns:
        ErrorBreakdown: Numbers of errors by kind.
    """
    inside = is_counted(ground_truth, bin)
    is_hit, is_false = _hits_and_false(
        ground_truth, detections, matches, score_threshold
    )
    is_lost = inside & ~is_hit
    is_unmatched = (matches.score >= score_threshold) & (
        matches.status[:, 0, 0] == MISSED
    )
    found = explain_errors(
        ground_truth, detections, np.sort(matches.index[is_unmatched]), metric
    )
    miss_kind = np.select(
        [found.near_score > NO_SCORE, found.class_score > NO_SCORE],
        [MISS_KINDS.index('localisation'), MISS_KINDS.index('class')],
        MISS_KINDS.index('missed'),
    )
    missed = np.flatnonzero(
        is_lost & (miss_kind == MISS_KINDS.index('missed'))
    )
    return ErrorBreakdown(
        bin,
        score_threshold,
        int(inside.sum()),
        int((inside & is_hit).sum()),
        count_kinds(miss_kind[is_lost], MISS_KINDS),
        count_kinds(found.kind[is_false], FALSE_KINDS),
        missed[np.argsort(-ground_truth.area[missed], kind='stable')],
    )


def _hits_and_false(
    ground_truth: GroundTruth,
    detections: Detections,
    matches: Matches,
    score_threshold: float,
) -> Tuple[np.ndarray, np.ndarray]:
    """Return which objects were hit and which detections are false.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        matches (Matches): Matches for one bin and one threshold.
        score_threshold (float): Lowest score of the detections that count.

    Returns:
        tuple[np.ndarray, np.ndarray]: Booleans of shape (objects,) and of
        shape (detections,).
    """
    is_confident = matches.score >= score_threshold
    status = matches.status[:, 0, 0]
    is_hit = np.zeros(len(ground_truth.image), bool)
    is_hit[matches.partner[is_confident & (status == HIT), 0, 0]] = True
    is_false = np.zeros(len(detections.image), bool)
    is_false[
        matches.index[is_confident & (status == MISSED) & matches.inside[:, 0]]
    ] = True
    return is_hit, is_false


def explain_errors(
    ground_truth: GroundTruth,
    detections: Detections,
    unmatched: np.ndarray,
    metric: str,
) -> Explanation:
    """Explain misses and false detections by what overlaps.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        unmatched (np.ndarray): Positions of the detections that hit nothing,
            ascending.
        metric (str): Metric, "bbox" or "segm".

    Returns:
        Explanation: What each object and detection would be as an error.
    """
    det, obj, overlap = overlapping_pairs(
        ground_truth, detections, unmatched, LOWEST_OVERLAP, metric
    )
    keep = is_counted(ground_truth)[obj]
    det, obj, overlap = det[keep], obj[keep], overlap[keep]
    same = detections.category[det] == ground_truth.category[obj]
    on = overlap >= HIT_OVERLAP
    number = len(ground_truth.image)
    score = detections.score.astype(np.float32)
    near_score, _ = _highest(obj[same], det[same], score, number)
    other = ~same & on
    class_score, which = _highest(obj[other], det[other], score, number)
    class_of = np.full(number, -1, np.int32)
    class_of[which >= 0] = detections.category[which[which >= 0]]
    kind = np.full(
        len(detections.image), FALSE_KINDS.index('background'), np.uint8
    )
    kind[det[other]] = FALSE_KINDS.index('class')
    kind[det[same]] = FALSE_KINDS.index('localisation')
    kind[det[same & on]] = FALSE_KINDS.index('duplicate')
    return Explanation(near_score, class_score, class_of, kind)


def _highest(
    obj: np.ndarray, det: np.ndarray, score: np.ndarray, objects: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Return the highest score of a detection on each object, and which.

    Args:
        obj (np.ndarray): Objects of pairs, of shape (pairs,).
        det (np.ndarray): Detections of pairs, of shape (pairs,).
        score (np.ndarray): Scores of all detections.
        objects (int): Number of objects.

    Returns:
        tuple[np.ndarray, np.ndarray]: Scores, or negative infinity, and
        positions of detections, or -1, each of shape (objects,).
    """
    best = np.full(objects, NO_SCORE, np.float32)
    which = np.full(objects, -1, np.int64)
    # The last assignment to an object stands.
    order = np.lexsort((-det, score[det]))
    best[obj[order]] = score[det[order]]
    which[obj[order]] = det[order]
    return best, which


def count_kinds(kinds: np.ndarray, names: Sequence[str]) -> Dict[str, int]:
    """Return how often each kind occurs, by name.

    Args:
        kinds (np.ndarray): Positions in ``names``.
        names (Sequence[str]): Names of the kinds.
    """
    numbers = np.bincount(kinds, minlength=len(names)).tolist()
    return dict(zip(names, numbers))
