"""What goes wrong with objects of one size, kind by kind."""

from dataclasses import dataclass
from typing import Dict

import numpy as np

from .bins import SizeBin
from .matching import HIT, MISSED, match, overlapping_pairs
from .structures import Detections, GroundTruth

# Detections that overlap an object by less have nothing to do with it.
LEAST_OVERLAP = 0.1
ENOUGH_OVERLAP = 0.5
MISS_KINDS = ('localisation', 'class', 'missed')
FALSE_KINDS = ('duplicate', 'localisation', 'class', 'background')


@dataclass(frozen=True)
class ErrorBreakdown:
    """Errors on objects of a size, at an overlap of 0.5.

    An object that is not hit has a detection of its class nearby, which
    overlaps it by 0.1 to 0.5 ("localisation"), or one of another class on it
    ("class"), or nothing ("missed"). A false detection is a second one of an
    object ("duplicate"), too far off ("localisation"), of a wrong class
    ("class"), or on nothing ("background").

    Attributes:
        bin: The size.
        score_threshold: Detections below it are left out.
        objects: Number of objects of the size, crowds not counted.
        hits: How many of them were hit.
        misses: Number of the others, by kind.
        false: Number of false detections of the size, by kind.
        missed: Positions of the objects of the kind "missed", the largest
            first.
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
    score_threshold: float = 0.3,
) -> ErrorBreakdown:
    """Sort the errors on objects of a size by kind.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        bin (SizeBin): The size.
        metric (str): Metric, "bbox" or "segm". Default: "bbox".
        score_threshold (float): Detections below it are left out. Default:
            0.3.
    """
    matches = match(ground_truth, detections, [bin], metric, [ENOUGH_OVERLAP])
    confident = matches.score >= score_threshold
    status = matches.status[:, 0, 0]
    inside = ~ground_truth.crowd & bin.holds(ground_truth.area)
    is_hit = np.zeros(len(ground_truth.image), bool)
    is_hit[matches.partner[confident & (status == HIT), 0, 0]] = True
    lost = inside & ~is_hit
    false = np.zeros(len(detections.image), bool)
    false[
        matches.index[confident & (status == MISSED) & matches.inside[:, 0]]
    ] = True
    # Pairs of any class, of confident detections alone.
    det, obj, overlap = overlapping_pairs(
        ground_truth,
        detections,
        np.flatnonzero(detections.score >= score_threshold),
        LEAST_OVERLAP,
        metric,
    )
    alike = detections.category[det] == ground_truth.category[obj]
    on = overlap >= ENOUGH_OVERLAP
    lost_kind = _first_that_holds(
        len(lost), MISS_KINDS, [obj[alike], obj[~alike & on]]
    )
    real = ~ground_truth.crowd[obj]
    false_kind = _first_that_holds(
        len(false),
        FALSE_KINDS,
        [det[alike & on & real], det[alike & real], det[~alike & on & real]],
    )
    missed = np.flatnonzero(lost & (lost_kind == 'missed'))
    return ErrorBreakdown(
        bin,
        score_threshold,
        int(inside.sum()),
        int((inside & is_hit).sum()),
        {kind: int((lost & (lost_kind == kind)).sum()) for kind in MISS_KINDS},
        {
            kind: int((false & (false_kind == kind)).sum())
            for kind in FALSE_KINDS
        },
        missed[np.argsort(-ground_truth.area[missed], kind='stable')],
    )


def _first_that_holds(
    number: int, kinds: 'tuple[str, ...]', members: 'list[np.ndarray]'
) -> np.ndarray:
    """Return each one's first kind among whose members it is, or the last."""
    kind = np.full(number, kinds[-1], dtype=object)
    for name, positions in reversed(list(zip(kinds, members))):
        kind[positions] = name
    return kind
