"""COCO's matching of detections to objects, for all sizes and thresholds.

COCO engines do not expose which detection hit which object, which resampling
and the breakdown of errors need. The matching works on whole arrays: the first
detections of all images and classes choose an object, then all second ones,
and so on, so that a data set of COCO's size takes seconds.
"""

from dataclasses import dataclass, replace
from typing import List, NamedTuple, Sequence, Tuple, Union

import numpy as np
from scipy.sparse import csr_matrix

from .bins import SizeBin
from .overlaps import overlaps, pairs_of_equal_keys
from .ranks import ranks_within_runs
from .settings import COCO_THRESHOLDS
from .structures import Detections, GroundTruth

MISSED, HIT, IGNORED = 0, 1, 2


@dataclass(frozen=True)
class Matches:
    """Which detection hit which object.

    The detections are those that count, at most ``max_dets`` per image and
    class, by class and then by descending score.

    Attributes:
        image: Index of each detection's image, of shape (n,).
        category: Index of each detection's category, of shape (n,),
            ascending.
        score: Scores, of shape (n,).
        index: Position of each detection in the :class:`Detections`, of shape
            (n,).
        status: MISSED if the detection hit nothing, HIT if it hit an object,
            IGNORED if it hit a crowd or an object of another size; shape (n,
            bins, thresholds).
        partner: Position of the object that was hit in the
            :class:`GroundTruth`, or -1; shape (n, bins, thresholds).
        inside: Whether the detection's own size is in the bin; shape (n,
            bins).
        objects: Number of objects that are not ignored, of shape (categories
            * bins, images). It is sparse, because few images have objects of
            a category.
    """

    image: np.ndarray
    category: np.ndarray
    score: np.ndarray
    index: np.ndarray
    status: np.ndarray
    partner: np.ndarray
    inside: np.ndarray
    objects: csr_matrix

    def of_bin(self, a: int) -> 'Matches':
        """Return the matches of one bin.

        Args:
            a (int): Index of the bin.
        """
        only, bins = slice(a, a + 1), self.status.shape[1]
        return replace(
            self,
            status=self.status[:, only],
            partner=self.partner[:, only],
            inside=self.inside[:, only],
            objects=self.objects[a::bins],
        )


class _Sorted(NamedTuple):
    """Detections and objects, sorted by group: image, then category.

    Attributes:
        detections: Positions of the detections that count, of shape (n,); by
            descending score within a group.
        detection_groups: Groups of these detections, of shape (n,).
        objects: Positions of the objects, of shape (m,).
        object_groups: Groups of these objects, of shape (m,).
    """

    detections: np.ndarray
    detection_groups: np.ndarray
    objects: np.ndarray
    object_groups: np.ndarray


class _Pairs(NamedTuple):
    """Pairs of a detection and an object of the same group that overlap.

    Attributes:
        detection: Positions in ``_Sorted.detections``, of shape (pairs,).
        object: Positions in ``_Sorted.objects``, of shape (pairs,).
        overlap: Intersections over union, of shape (pairs,).
    """

    detection: np.ndarray
    object: np.ndarray
    overlap: np.ndarray

    def take(self, rows: Union[np.ndarray, slice]) -> '_Pairs':
        """Return some of the pairs."""
        return _Pairs(*(column[rows] for column in self))


def match(
    ground_truth: GroundTruth,
    detections: Detections,
    bins: Sequence[SizeBin],
    metric: str = 'bbox',
    thresholds: Sequence[float] = COCO_THRESHOLDS,
    max_dets: int = 100,
) -> Matches:
    """Match detections to objects as COCO's evaluation does.

    Within an image and class, detections choose in the order of their scores.
    Each takes the free object that it overlaps most, and an ignored object
    only if there is no other. A crowd can be taken many times.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        bins (Sequence[SizeBin]): Bins of object sizes. Objects of other sizes
            are ignored.
        metric (str): Metric, "bbox" or "segm". Default: "bbox".
        thresholds (Sequence[float]): IoU thresholds. Default: 0.5 to 0.95.
        max_dets (int): Largest number of detections per image and class.
            Default: 100.

    Returns:
        Matches: The matches.
    """
    in_groups = _sort(ground_truth, detections, max_dets)
    # As COCO does, so that equal boxes reach a threshold of 1.
    limits = np.minimum(thresholds, 1 - 1e-10)
    turns = _turns(
        _overlapping(
            ground_truth, detections, in_groups, limits.min(), metric
        ),
        in_groups.detection_groups,
    )
    crowd = ground_truth.crowd[in_groups.objects]
    ignored = crowd[:, None] | ~_in_bins(
        ground_truth.area[in_groups.objects], bins
    )
    status, partner = _choose(in_groups, turns, limits, ignored, crowd)
    order = in_groups.detections
    inside = _in_bins(detections.area[order], bins)
    by_score = np.lexsort(
        (-detections.score[order], detections.category[order])
    )
    order = order[by_score]
    return Matches(
        detections.image[order],
        detections.category[order],
        detections.score[order],
        order,
        status[by_score],
        partner[by_score],
        inside[by_score],
        _count_objects(ground_truth, in_groups.objects, ignored),
    )


def _in_bins(area: np.ndarray, bins: Sequence[SizeBin]) -> np.ndarray:
    """Return whether areas of shape (n,) are in bins, of shape (n, bins)."""
    return np.column_stack([bin.holds(area) for bin in bins])


def _sort(
    ground_truth: GroundTruth, detections: Detections, max_dets: int
) -> _Sorted:
    """Sort detections and objects by image and category.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        max_dets (int): Largest number of detections per image and class.
    """
    categories = len(ground_truth.category_ids)
    # COCO goes through images in the order of their ids, which decides who is
    # first among equal scores.
    rank = np.argsort(np.argsort(ground_truth.image_ids))
    groups = rank[detections.image] * categories + detections.category
    order = np.lexsort((-detections.score, groups))
    order = order[ranks_within_runs(groups[order]) < max_dets]
    object_groups = (
        rank[ground_truth.image] * categories + ground_truth.category
    )
    object_order = np.argsort(object_groups, kind='stable')
    return _Sorted(
        order, groups[order], object_order, object_groups[object_order]
    )


def _overlapping(
    ground_truth: GroundTruth,
    detections: Detections,
    in_groups: _Sorted,
    lowest: float,
    metric: str,
) -> _Pairs:
    """Return the pairs of a group whose overlap reaches a threshold.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        in_groups (_Sorted): Detections and objects by group.
        lowest (float): The lowest threshold.
        metric (str): Metric, "bbox" or "segm".
    """
    det, obj = pairs_of_equal_keys(
        in_groups.detection_groups, in_groups.object_groups
    )
    overlap = overlaps(
        ground_truth,
        detections,
        in_groups.objects[obj],
        in_groups.detections[det],
        metric,
    )
    return _Pairs(det, obj, overlap).take(overlap >= lowest)


def _choose(
    in_groups: _Sorted,
    turns: Sequence[_Pairs],
    thresholds: np.ndarray,
    ignored: np.ndarray,
    crowd: np.ndarray,
) -> Tuple[np.ndarray, np.ndarray]:
    """Let detections choose objects, one of each group at a time.

    Args:
        in_groups (_Sorted): Detections (n) and objects (m) by group.
        turns (Sequence[_Pairs]): Pairs of the first detections of all groups,
            of all second ones, and so on.
        thresholds (np.ndarray): IoU thresholds.
        ignored (np.ndarray): Which objects are ignored, of shape (m, bins).
        crowd (np.ndarray): Which objects are crowds, of shape (m,).

    Returns:
        tuple[np.ndarray, np.ndarray]: ``status`` and ``partner`` of
        :class:`Matches`, in the order of ``in_groups``.
    """
    shape = (ignored.shape[1], len(thresholds))
    taken = np.zeros((len(in_groups.objects), *shape), bool)
    status = np.zeros((len(in_groups.detections), *shape), np.uint8)
    partner = np.full((len(in_groups.detections), *shape), -1, np.int32)
    for turn in turns:
        free = (turn.overlap[:, None, None] >= thresholds) & (
            ~taken[turn.object] | crowd[turn.object, None, None]
        )
        rows, a, t = _best_pairs(turn, free, ignored[turn.object])
        det, obj = turn.detection[rows], turn.object[rows]
        taken[obj, a, t] = True
        status[det, a, t] = np.where(ignored[obj, a], IGNORED, HIT)
        partner[det, a, t] = in_groups.objects[obj]
    return status, partner


def _turns(pairs: _Pairs, groups: np.ndarray) -> List[_Pairs]:
    """Split pairs by the rank of their detection in its group.

    Args:
        pairs (_Pairs): Pairs, by ascending detection.
        groups (np.ndarray): Group of each detection, ascending.

    Returns:
        list[_Pairs]: Pairs of the first detections of all groups, of all
        second ones, and so on.
    """
    choosing, place = np.unique(pairs.detection, return_inverse=True)
    turn = ranks_within_runs(groups[choosing])[place]
    by_turn = np.argsort(turn, kind='stable')
    pairs, turn = pairs.take(by_turn), turn[by_turn]
    limits = np.searchsorted(turn, np.arange(turn.max(initial=-1) + 2))
    return [
        pairs.take(slice(begin, end))
        for begin, end in zip(limits[:-1], limits[1:])
    ]


def _best_pairs(
    turn: _Pairs, free: np.ndarray, ignored: np.ndarray
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pair that each detection chooses.

    Args:
        turn (_Pairs): Pairs, by ascending detection.
        free (np.ndarray): Which objects can be chosen, of shape (pairs, bins,
            thresholds).
        ignored (np.ndarray): Which objects are ignored, of shape (pairs,
            bins).

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: Positions of the chosen
        pairs, with their bins and thresholds.
    """
    starts = np.flatnonzero(
        np.r_[True, turn.detection[1:] != turn.detection[:-1]]
    )
    # Any object that is not ignored is worth more than those that are.
    worth = np.where(
        free, turn.overlap[:, None, None] + 2 * ~ignored[:, :, None], -1
    )
    best = np.maximum.reduceat(worth, starts)
    lengths = np.diff(np.r_[starts, len(turn.detection)])
    is_best = free & (worth == np.repeat(best, lengths, 0))
    # Of two objects with the same overlap, COCO takes the later one.
    rows = np.where(is_best, np.arange(len(free))[:, None, None], -1)
    rows = np.maximum.reduceat(rows, starts)
    chosen, a, t = np.nonzero(rows >= 0)
    return rows[chosen, a, t], a, t


def _count_objects(
    ground_truth: GroundTruth, objects: np.ndarray, ignored: np.ndarray
) -> csr_matrix:
    """Count the objects that are not ignored, as ``Matches.objects``.

    Args:
        ground_truth (GroundTruth): The ground truth.
        objects (np.ndarray): Positions of objects, of shape (m,).
        ignored (np.ndarray): Which of them are ignored, of shape (m, bins).
    """
    bins = ignored.shape[1]
    rows, a = np.nonzero(~ignored)
    counted = objects[rows]
    return csr_matrix(
        (
            np.ones(len(counted), np.float32),
            (
                ground_truth.category[counted] * bins + a,
                ground_truth.image[counted],
            ),
        ),
        (
            len(ground_truth.category_ids) * bins,
            len(ground_truth.image_ids),
        ),
    )
