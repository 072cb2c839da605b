"""What each kind of error costs in AP, by object size.

The kinds and fixes are those of D. Bolya et al., "TIDE: A General Toolbox for
Identifying Object Detection Errors", ECCV 2020, which has no sizes. Here
objects of other sizes are ignored, as in COCO's evaluation by size.
"""

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

import numpy as np

from .bins import SizeBin
from .errors import LOWEST_OVERLAP
from .matching import Matches
from .operating_points import HIT_OVERLAP
from .overlaps import overlapping_pairs
from .recalls import COCO_RECALLS
from .statuses import HIT, MISSED
from .structures import Detections, GroundTruth
from .subsets import is_counted

KINDS = (
    'localisation',
    'class',
    'both',
    'duplicate',
    'background',
    'missed',
)


@dataclass(frozen=True)
class ErrorCosts:
    """What AP50 on objects of a size would gain without errors of a kind.

    Attributes:
        bin: Bin of object sizes.
        ap: AP at an IoU of 0.5; None without objects.
        gains: Gain in AP if all errors of a kind were corrected, by kind, and
            without any "false positive" and any "false negative"; empty
            without objects.
        counts: Number of errors by kind.
    """

    bin: SizeBin
    ap: Optional[float]
    gains: Dict[str, float]
    counts: Dict[str, int]


@dataclass(frozen=True)
class _Ranked:
    """Detections that count, by class and descending score.

    Attributes:
        category: Index of each detection's class, of shape (n,).
        score: Scores, of shape (n,).
        hit: Whether each hits an object; the others are false; shape (n,).
        kind: Kind of each false detection, as its position in ``KINDS``, and
            -1 of hits; shape (n,).
        target: Object that a localisation or class error means, or -1; shape
            (n,).
    """

    category: np.ndarray
    score: np.ndarray
    hit: np.ndarray
    kind: np.ndarray
    target: np.ndarray

    def take(self, rows: np.ndarray) -> '_Ranked':
        """Return some of the detections."""
        return _Ranked(*(column[rows] for column in vars(self).values()))


def cost_of_errors(
    ground_truth: GroundTruth,
    detections: Detections,
    bin: SizeBin,
    metric: str,
    matches: Matches,
) -> ErrorCosts:
    """Return what each kind of error costs in AP50.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        bin (SizeBin): Bin of object sizes.
        metric (str): Metric, "bbox" or "segm".
        matches (Matches): Matches for this bin and an IoU of 0.5.

    Returns:
        ErrorCosts: Gains in AP and numbers of errors.
    """
    inside = is_counted(ground_truth, bin)
    status, partner = matches.status[:, 0, 0], matches.partner[:, 0, 0]
    found = np.zeros(len(inside), bool)
    found[partner[status == HIT]] = True
    taken = np.zeros(len(inside), bool)
    taken[partner[partner >= 0]] = True
    false = (status == MISSED) & matches.inside[:, 0]
    kind, target = np.full((2, len(status)), -1)
    kind[false], target[false] = _kinds(
        ground_truth, detections, metric, matches.index[false], taken
    )
    counts = (status == HIT) | false
    ranked = _Ranked(
        matches.category, matches.score, status == HIT, kind, target
    ).take(counts)
    # Objects that no error means.
    missed = inside & ~found
    missed[target[target >= 0]] = False
    numbers = [*np.bincount(kind[false], minlength=5).tolist(), missed.sum()]
    objects = _count(ground_truth, inside)
    base = _mean_ap(ranked, objects, objects)
    gains = {}
    if base is not None:
        unfound = inside & ~found
        without = {
            name: (_fixed(ranked, i, unfound, ground_truth), objects)
            for i, name in enumerate(KINDS[:-1])
        }
        without['missed'] = ranked, objects - _count(ground_truth, missed)
        without['false positive'] = ranked.take(ranked.hit), objects
        without['false negative'] = ranked, _count(ground_truth, found)
        gains = {
            name: (_mean_ap(*fixed, objects) or 0.0) - base
            for name, fixed in without.items()
        }
    return ErrorCosts(bin, base, gains, dict(zip(KINDS, map(int, numbers))))


def _count(ground_truth: GroundTruth, objects: np.ndarray) -> np.ndarray:
    """Return the number of objects by class, for booleans of shape (m,)."""
    return np.bincount(
        ground_truth.category[objects],
        minlength=len(ground_truth.category_ids),
    )


def _kinds(
    ground_truth: GroundTruth,
    detections: Detections,
    metric: str,
    index: np.ndarray,
    taken: np.ndarray,
) -> Tuple[np.ndarray, np.ndarray]:
    """Return the kinds of false detections, and the objects that they mean.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        metric (str): Metric, "bbox" or "segm".
        index (np.ndarray): Positions of the false detections, of shape (n,).
        taken (np.ndarray): Which objects a detection hit, of shape (m,).

    Returns:
        tuple[np.ndarray, np.ndarray]: Positions in ``KINDS`` and positions of
        objects, or -1, each of shape (n,).
    """
    order = np.argsort(index)
    det, obj, overlap = overlapping_pairs(
        ground_truth, detections, index[order], LOWEST_OVERLAP, metric
    )
    row = order[np.searchsorted(index[order], det)]
    real = is_counted(ground_truth)[obj]
    row, obj, overlap = row[real], obj[real], overlap[real]
    same = detections.category[index[row]] == ground_truth.category[obj]
    near, neighbour = _best(len(index), row[same], obj[same], overlap[same])
    on, other = _best(len(index), row[~same], obj[~same], overlap[~same])
    again = np.zeros(len(index), bool)
    again[row[same & taken[obj] & (overlap >= HIT_OVERLAP)]] = True
    is_near = np.zeros(len(index), bool)
    is_near[row] = True
    kind = np.select(
        [
            (near >= LOWEST_OVERLAP) & (near < HIT_OVERLAP),
            on >= HIT_OVERLAP,
            again,
            ~is_near,
        ],
        [KINDS.index(name) for name in ('localisation', 'class')]
        + [KINDS.index(name) for name in ('duplicate', 'background')],
        KINDS.index('both'),
    )
    return kind, np.select([kind == 0, kind == 1], [neighbour, other], -1)


def _best(
    number: int, row: np.ndarray, obj: np.ndarray, overlap: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Return the largest overlap of each row and its object, the first one.

    Args:
        number (int): Number of rows.
        row (np.ndarray): Row of each pair, of shape (pairs,).
        obj (np.ndarray): Object of each pair, of shape (pairs,).
        overlap (np.ndarray): Overlap of each pair, of shape (pairs,).

    Returns:
        tuple[np.ndarray, np.ndarray]: Overlaps, 0 without any pair, and
        positions of objects, each of shape (number,).
    """
    # The last assignment stays.
    order = np.lexsort((-obj, overlap))
    best, which = np.zeros(number), np.full(number, -1)
    best[row[order]], which[row[order]] = overlap[order], obj[order]
    return best, which


def _fixed(
    ranked: _Ranked,
    kind: int,
    unfound: np.ndarray,
    ground_truth: GroundTruth,
) -> _Ranked:
    """Return the detections with all errors of a kind corrected.

    Of the errors of all kinds that mean the same object, only the one with
    the highest score can become a hit. The others of the kind are left out,
    as are those that mean an object that was found or is of another size.

    Args:
        ranked (_Ranked): The detections.
        kind (int): Position in ``KINDS``.
        unfound (np.ndarray): Objects of the size that were not hit, as
            booleans of shape (m,).
        ground_truth (GroundTruth): The ground truth.
    """
    meant = np.flatnonzero(ranked.target >= 0)
    meant = meant[unfound[ranked.target[meant]]]
    meant = meant[np.argsort(-ranked.score[meant], kind='stable')]
    _, first = np.unique(ranked.target[meant], return_index=True)
    hits = meant[first]
    hits = hits[ranked.kind[hits] == kind]
    category, hit = ranked.category.copy(), ranked.hit.copy()
    category[hits] = ground_truth.category[ranked.target[hits]]
    hit[hits] = True
    kept = ranked.kind != kind
    kept[hits] = True
    rows = np.flatnonzero(kept)
    order = np.lexsort((-ranked.score[rows], category[rows]))
    return _Ranked(
        category, ranked.score, hit, ranked.kind, ranked.target
    ).take(rows[order])


def _mean_ap(
    ranked: _Ranked, objects: np.ndarray, present: np.ndarray
) -> Optional[float]:
    """Return AP as the mean over the classes with objects; None without any.

    A class that has lost its objects counts as 0, as in TIDE.

    Args:
        ranked (_Ranked): The detections.
        objects (np.ndarray): Number of objects by class, of shape (K,).
        present (np.ndarray): Number of objects before any correction, of
            shape (K,).
    """
    limits = np.searchsorted(ranked.category, np.arange(len(objects) + 1))
    values = []
    for k in np.flatnonzero(present):
        hit = ranked.hit[limits[k] : limits[k + 1]]
        hits = np.cumsum(hit)
        precision = hits / np.arange(1, len(hit) + 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        first = np.searchsorted(hits / max(objects[k], 1), COCO_RECALLS)
        values.append(np.r_[precision, 0][first].mean() if objects[k] else 0.0)
    return float(np.mean(values)) if values else None
