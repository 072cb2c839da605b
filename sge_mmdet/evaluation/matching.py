"""COCO's matching of detections to objects, for all sizes and thresholds.

It is what engines keep to themselves and what resampling and the breakdown of
errors need: which detection hit which object. Written over whole arrays, the
detections of all images and classes being taken rank by rank, so that a data
set of COCO's size takes seconds.
"""

from dataclasses import dataclass
from typing import Any, Sequence, Tuple

import numpy as np
from scipy.sparse import csr_matrix

from .bins import SizeBin
from .engines import COCO_THRESHOLDS
from .ranks import ranks_within_runs
from .structures import Detections, GroundTruth

MISSED, HIT, IGNORED = 0, 1, 2
# Looked at together, which bounds the memory that takes.
MOST_PAIRS = 1_000_000


@dataclass(frozen=True)
class Matches:
    """Which detection hit which object.

    Detections are those that count, at most ``max_dets`` an image and class,
    in the order of descending score within each class.

    Attributes:
        image: Index of each detection's image; shape (n,).
        category: Index of its category; shape (n,), ascending.
        score: Shape (n,).
        index: Position among the detections that were given; shape (n,).
        status: Whether it hit nothing, an object, or one that is ignored
            since it is a crowd or of another size; shape (n, bins,
            thresholds).
        partner: Position of that object among those given, or -1; as status.
        inside: Whether its own size is in the bin; shape (n, bins).
        objects: Number of objects that are not ignored; sparse, since few
            images have objects of a category; shape (categories * bins,
            images).
    """

    image: np.ndarray
    category: np.ndarray
    score: np.ndarray
    index: np.ndarray
    status: np.ndarray
    partner: np.ndarray
    inside: np.ndarray
    objects: csr_matrix


def match(
    ground_truth: GroundTruth,
    detections: Detections,
    bins: Sequence[SizeBin],
    metric: str = 'bbox',
    thresholds: Sequence[float] = COCO_THRESHOLDS,
    max_dets: int = 100,
) -> Matches:
    """Match detections to objects as COCO's evaluation does.

    Within an image and class, detections choose in the order of their scores;
    each takes the free object that it overlaps most, an ignored one only
    where there is no other. A crowd can be taken by many.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        bins (Sequence[SizeBin]): Sizes; objects outside are ignored.
        metric (str): Metric, "bbox" or "segm". Default: "bbox".
        thresholds (Sequence[float]): Of intersection over union. Default:
            COCO's.
        max_dets (int): Detections an image and class. Default: 100.
    """
    categories = len(ground_truth.category_ids)
    # COCO goes through images in the order of their ids, which tells who is
    # first among equal scores.
    rank = np.argsort(np.argsort(ground_truth.image_ids))
    group = rank[detections.image] * categories + detections.category
    order = np.lexsort((-detections.score, group))
    order = order[ranks_within_runs(group[order]) < max_dets]
    group = group[order]
    truth_group = rank[ground_truth.image] * categories + ground_truth.category
    truth_order = np.argsort(truth_group, kind='stable')
    det, obj = _pairs(group, truth_group[truth_order])
    crowd = ground_truth.crowd[truth_order]
    overlap = _overlaps(
        ground_truth, detections, truth_order[obj], order[det], metric
    )
    least = np.minimum(thresholds, 1 - 1e-10)
    near = overlap >= least.min()
    det, obj, overlap = det[near], obj[near], overlap[near]

    area = ground_truth.area[truth_order]
    ignored = crowd[:, None] | ~np.column_stack(
        [bin.holds(area) for bin in bins]
    )
    shape = (len(bins), len(least))
    taken = np.zeros((len(truth_order), *shape), bool)
    status = np.zeros((len(order), *shape), np.uint8)
    partner = np.full((len(order), *shape), -1, np.int32)
    # All detections that are first in their group choose, then all second...
    choosing, place = np.unique(det, return_inverse=True)
    turn = ranks_within_runs(group[choosing])[place]
    by_turn = np.argsort(turn, kind='stable')
    det, obj, overlap, turn = (x[by_turn] for x in (det, obj, overlap, turn))
    turns = np.searchsorted(turn, np.arange(turn.max(initial=-1) + 2))
    for begin, end in zip(turns[:-1], turns[1:]):
        d, o = det[begin:end], obj[begin:end]
        v = overlap[begin:end, None, None]
        starts = np.flatnonzero(np.r_[True, d[1:] != d[:-1]])
        free = (v >= least) & (~taken[o] | crowd[o, None, None])
        # Any that is not ignored goes before those that are.
        worth = np.where(free, v + 2 * ~ignored[o][:, :, None], -1)
        best = np.maximum.reduceat(worth, starts)
        own = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(d)]))
        is_best = free & (worth == best[own])
        # Of two that are overlapped alike, COCO takes the later.
        rows = np.where(is_best, np.arange(len(d))[:, None, None], -1)
        rows = np.maximum.reduceat(rows, starts)
        s, a, t = np.nonzero(rows >= 0)
        o = o[rows[s, a, t]]
        d = d[starts[s]]
        taken[o, a, t] = True
        status[d, a, t] = np.where(ignored[o, a], IGNORED, HIT)
        partner[d, a, t] = truth_order[o]

    one, a = np.nonzero(~ignored)
    one = truth_order[one]
    objects = csr_matrix(
        (
            np.ones(len(one), np.float32),
            (
                ground_truth.category[one] * len(bins) + a,
                ground_truth.image[one],
            ),
        ),
        (categories * len(bins), len(ground_truth.image_ids)),
    )
    inside = np.column_stack(
        [bin.holds(detections.area[order]) for bin in bins]
    )
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
        objects,
    )


def overlapping_pairs(
    ground_truth: GroundTruth,
    detections: Detections,
    chosen: np.ndarray,
    least: float,
    metric: str = 'bbox',
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return detections and objects that overlap, whatever their classes.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        chosen (np.ndarray): Positions of the detections to look at.
        least (float): The smallest overlap.
        metric (str): Metric, "bbox" or "segm". Default: "bbox".

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: Positions of detections, of
        objects, and their intersections over union; shape (pairs,) each.
    """
    truth_order = np.argsort(ground_truth.image, kind='stable')
    images = ground_truth.image[truth_order]
    objects = np.bincount(
        ground_truth.image, minlength=len(ground_truth.image_ids)
    )
    pairs = np.cumsum(objects[detections.image[chosen]])
    total = pairs[-1] if len(pairs) else 0
    # In parts: of all pairs in crowded images few overlap.
    cuts = np.searchsorted(pairs, np.arange(MOST_PAIRS, total, MOST_PAIRS))
    parts = []
    for part in np.split(chosen, cuts):
        det, obj = _pairs(detections.image[part], images)
        det, obj = part[det], truth_order[obj]
        overlap = _overlaps(ground_truth, detections, obj, det, metric)
        near = overlap >= least
        parts.append((det[near], obj[near], overlap[near]))
    dets, objects, overlaps = map(np.concatenate, zip(*parts))
    return dets, objects, overlaps


def _pairs(
    left: np.ndarray, right: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Return all pairs of positions with equal keys; ``right`` is sorted."""
    begin = np.searchsorted(right, left, side='left')
    count = np.searchsorted(right, left, side='right') - begin
    first = np.repeat(np.arange(len(left)), count)
    offset = np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
    return first, np.repeat(begin, count) + offset


def _overlaps(
    ground_truth: GroundTruth,
    detections: Detections,
    obj: np.ndarray,
    det: np.ndarray,
    metric: str,
) -> np.ndarray:
    function = _mask_overlaps if metric == 'segm' else _box_overlaps
    return function(ground_truth, detections, obj, det)


def _box_overlaps(
    ground_truth: GroundTruth,
    detections: Detections,
    obj: np.ndarray,
    det: np.ndarray,
) -> np.ndarray:
    """Return intersection over union, over the detection for a crowd."""
    a, b = detections.box[det], ground_truth.box[obj]
    sides = np.minimum(a[:, 2:] + a[:, :2], b[:, 2:] + b[:, :2]) - np.maximum(
        a[:, :2], b[:, :2]
    )
    common = np.where((sides > 0).all(1), sides[:, 0] * sides[:, 1], 0)
    own = a[:, 2] * a[:, 3]
    union = np.where(
        ground_truth.crowd[obj], own, own + b[:, 2] * b[:, 3] - common
    )
    return np.divide(
        common, union, out=np.zeros_like(common), where=common > 0
    )


def _mask_overlaps(
    ground_truth: GroundTruth,
    detections: Detections,
    obj: np.ndarray,
    det: np.ndarray,
) -> np.ndarray:
    from pycocotools import mask as mask_utils

    def encoded(mask: object, image: int) -> dict:
        height, width = ground_truth.image_sizes[image].tolist()
        if isinstance(mask, dict) and not isinstance(mask['counts'], list):
            return mask
        rle = mask_utils.frPyObjects(mask, height, width)
        return mask_utils.merge(rle) if isinstance(rle, list) else rle

    masks: Any = detections.segmentation
    overlaps = np.zeros(len(det))
    objects, place = np.unique(obj, return_inverse=True)
    by_object = np.argsort(place, kind='stable')
    for one, rows in zip(
        objects,
        np.split(
            by_object,
            np.searchsorted(place[by_object], np.arange(1, len(objects))),
        ),
    ):
        overlaps[rows] = mask_utils.iou(
            [masks[i] for i in det[rows]],
            [encoded(ground_truth.masks[one], ground_truth.image[one])],
            [bool(ground_truth.crowd[one])],
        )[:, 0]
    return overlaps
