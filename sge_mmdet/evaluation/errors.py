"""Errors on objects of one size, by kind."""

from dataclasses import dataclass
from typing import Dict, Optional, Sequence, Tuple

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
    miss_kind, false_kind = _kinds(
        ground_truth, detections, metric, matches, score_threshold
    )
    missed = np.flatnonzero(is_lost & (miss_kind == 'missed'))
    return ErrorBreakdown(
        bin,
        score_threshold,
        int(inside.sum()),
        int((inside & is_hit).sum()),
        _count(miss_kind[is_lost], MISS_KINDS),
        _count(false_kind[is_false], FALSE_KINDS),
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


def _kinds(
    ground_truth: GroundTruth,
    detections: Detections,
    metric: str,
    matches: Matches,
    score_threshold: float,
) -> Tuple[np.ndarray, np.ndarray]:
    """Return the kind of error that each object and detection would be.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        metric (str): Metric, "bbox" or "segm".
        matches (Matches): Matches for one bin and one threshold.
        score_threshold (float): Lowest score of the detections that count.

    Returns:
        tuple[np.ndarray, np.ndarray]: Kinds of shape (objects,) and of shape
        (detections,).
    """
    # Pairs of all classes, but only of detections that count.
    det, obj, overlap = overlapping_pairs(
        ground_truth,
        detections,
        np.sort(matches.index[matches.score >= score_threshold]),
        LOWEST_OVERLAP,
        metric,
    )
    same = detections.category[det] == ground_truth.category[obj]
    on = overlap >= HIT_OVERLAP
    real = is_counted(ground_truth)[obj]
    is_unmatched = np.zeros(len(detections.image), bool)
    is_unmatched[matches.index] = matches.status[:, 0, 0] == MISSED
    unmatched = is_unmatched[det]
    miss_kind = _first_kind(
        len(ground_truth.image),
        MISS_KINDS,
        [obj[same & unmatched], obj[~same & on & unmatched]],
    )
    false_kind = _first_kind(
        len(detections.image),
        FALSE_KINDS,
        [det[same & on & real], det[same & real], det[~same & on & real]],
    )
    return miss_kind, false_kind


def _first_kind(
    number: int, kinds: Sequence[str], members: Sequence[np.ndarray]
) -> np.ndarray:
    """Return the first kind that contains an item, otherwise the last kind.

    Args:
        number (int): Number of items.
        kinds (Sequence[str]): Names of the kinds.
        members (Sequence[np.ndarray]): Positions of the items of each kind
            but the last.

    Returns:
        np.ndarray: Names of shape (number,).
    """
    kind = np.full(number, kinds[-1], dtype=object)
    for name, positions in reversed(list(zip(kinds, members))):
        kind[positions] = name
    return kind


def _count(kind: np.ndarray, kinds: Sequence[str]) -> Dict[str, int]:
    return {name: int((kind == name).sum()) for name in kinds}
