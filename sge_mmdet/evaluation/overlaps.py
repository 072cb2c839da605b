"""Overlaps of detections and objects, as boxes or as masks."""

from typing import Any, Tuple

import numpy as np

from .native.loading import library
from .native.overlaps import overlapping_boxes
from .structures import Detections, GroundTruth

# Largest number of pairs that are looked at together, which bounds the memory.
MOST_PAIRS = 1_000_000


def overlapping_pairs(
    ground_truth: GroundTruth,
    detections: Detections,
    chosen: np.ndarray,
    lowest: float,
    metric: str = 'bbox',
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return detections and objects that overlap, whatever their classes.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        chosen (np.ndarray): Positions of the detections to look at.
        lowest (float): Lowest intersection over union of a pair.
        metric (str): Metric, "bbox" or "segm". Default: "bbox".

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: Positions of detections,
        positions of objects, and their intersections over union, each of
        shape (pairs,).
    """
    by_image = np.argsort(ground_truth.image, kind='stable')
    images = ground_truth.image[by_image]
    objects_per_image = np.bincount(
        ground_truth.image, minlength=len(ground_truth.image_ids)
    )
    built = library()
    if metric != 'segm' and built is not None:
        det, obj, overlap = overlapping_boxes(
            built,
            chosen,
            detections.image,
            detections.box,
            np.concatenate([[0], np.cumsum(objects_per_image)]),
            ground_truth.box[by_image],
            ground_truth.crowd[by_image],
            lowest,
        )
        return det, by_image[obj], overlap
    pairs = np.cumsum(objects_per_image[detections.image[chosen]])
    total = pairs[-1] if len(pairs) else 0
    # In parts, because few of the pairs in a crowded image overlap.
    cuts = np.searchsorted(pairs, np.arange(MOST_PAIRS, total, MOST_PAIRS))
    parts = []
    for part in np.split(chosen, cuts):
        det, obj = pairs_of_equal_keys(detections.image[part], images)
        det, obj = part[det], by_image[obj]
        overlap = overlaps(ground_truth, detections, obj, det, metric)
        is_near = overlap >= lowest
        parts.append((det[is_near], obj[is_near], overlap[is_near]))
    det, obj, overlap = map(np.concatenate, zip(*parts))
    return det, obj, overlap


def pairs_of_equal_keys(
    left: np.ndarray, right: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Return all pairs of positions that have equal keys.

    Args:
        left (np.ndarray): Keys of shape (n,).
        right (np.ndarray): Keys of shape (m,), ascending.

    Returns:
        tuple[np.ndarray, np.ndarray]: Positions in ``left``, ascending, and
        positions in ``right``, each of shape (pairs,).
    """
    begin = np.searchsorted(right, left, side='left')
    count = np.searchsorted(right, left, side='right') - begin
    first = np.repeat(np.arange(len(left)), count)
    offset = np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
    return first, np.repeat(begin, count) + offset


def overlaps(
    ground_truth: GroundTruth,
    detections: Detections,
    obj: np.ndarray,
    det: np.ndarray,
    metric: str,
) -> np.ndarray:
    """Return the overlap of each pair of an object and a detection.

    As in COCO, it is the intersection over the union, and over the detection
    if the object is a crowd.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        obj (np.ndarray): Positions of the objects, of shape (pairs,).
        det (np.ndarray): Positions of the detections, of shape (pairs,).
        metric (str): Metric, "bbox" or "segm".

    Returns:
        np.ndarray: Overlaps of shape (pairs,).
    """
    compute = _mask_overlaps if metric == 'segm' else _box_overlaps
    return compute(ground_truth, detections, obj, det)


def _box_overlaps(
    ground_truth: GroundTruth,
    detections: Detections,
    obj: np.ndarray,
    det: np.ndarray,
) -> np.ndarray:
    a, b = ground_truth.box, detections.box
    width = _common_side(a, b, obj, det, 0)
    # Most pairs of an image lie side by side.
    near = np.flatnonzero(width > 0)
    obj, det = obj[near], det[near]
    height = _common_side(a, b, obj, det, 1)
    common = np.where(height > 0, width[near] * height, 0)
    own, other = (b[:, 2] * b[:, 3])[det], (a[:, 2] * a[:, 3])[obj]
    union = np.where(ground_truth.crowd[obj], own, own + other - common)
    overlap = np.zeros(len(width))
    overlap[near] = np.divide(
        common, union, out=np.zeros_like(common), where=common > 0
    )
    return overlap


def _common_side(
    a: np.ndarray, b: np.ndarray, i: np.ndarray, j: np.ndarray, axis: int
) -> np.ndarray:
    """Return the length that boxes i of a and j of b share, or less than 0.

    Args:
        a (np.ndarray): Boxes (x, y, w, h), of shape (n, 4).
        b (np.ndarray): Boxes, of shape (m, 4).
        i (np.ndarray): Positions in ``a``, of shape (pairs,).
        j (np.ndarray): Positions in ``b``, of shape (pairs,).
        axis (int): 0 for the width, 1 for the height.
    """
    begin_a, begin_b = (np.ascontiguousarray(box[:, axis]) for box in (a, b))
    end_a, end_b = begin_a + a[:, axis + 2], begin_b + b[:, axis + 2]
    return np.minimum(end_a[i], end_b[j]) - np.maximum(begin_a[i], begin_b[j])


def _mask_overlaps(
    ground_truth: GroundTruth,
    detections: Detections,
    obj: np.ndarray,
    det: np.ndarray,
) -> np.ndarray:
    from pycocotools import mask as mask_utils

    masks: Any = detections.segmentation
    result = np.zeros(len(det))
    objects, place = np.unique(obj, return_inverse=True)
    by_object = np.argsort(place, kind='stable')
    limits = np.searchsorted(place[by_object], np.arange(1, len(objects)))
    for i, rows in zip(objects, np.split(by_object, limits)):
        result[rows] = mask_utils.iou(
            [masks[k] for k in det[rows]],
            [
                _to_rle(
                    ground_truth.masks[i],
                    ground_truth.image_sizes[ground_truth.image[i]],
                )
            ],
            [bool(ground_truth.crowd[i])],
        )[:, 0]
    return result


def _to_rle(mask: Any, size: np.ndarray) -> dict:
    """Return an annotated mask as compressed RLE.

    Args:
        mask (list or dict): Polygons, or RLE, compressed or not.
        size (np.ndarray): Height and width of the image in pixels.
    """
    from pycocotools import mask as mask_utils

    if isinstance(mask, dict) and not isinstance(mask['counts'], list):
        return mask
    rle = mask_utils.frPyObjects(mask, *size.tolist())
    return mask_utils.merge(rle) if isinstance(rle, list) else rle
