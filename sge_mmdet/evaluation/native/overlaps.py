"""Detections and objects of the same image that overlap."""

import ctypes
from typing import Optional, Tuple

import numpy as np


def overlapping_boxes(
    library: ctypes.CDLL,
    chosen: np.ndarray,
    detection_images: np.ndarray,
    detection_boxes: np.ndarray,
    object_limits: np.ndarray,
    object_boxes: np.ndarray,
    crowd: np.ndarray,
    lowest: float,
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return detections and objects that overlap, as boxes.

    Args:
        library (ctypes.CDLL): The library, of :func:`.loading.library`.
        chosen (np.ndarray): Positions of the detections to look at, of shape
            (number,).
        detection_images (np.ndarray): Index of each detection's image, of
            shape (n,).
        detection_boxes (np.ndarray): Boxes (x, y, width, height), of shape
            (n, 4).
        object_limits (np.ndarray): Where the objects of each image begin, of
            shape (images + 1,).
        object_boxes (np.ndarray): Boxes of the objects, by image, of shape
            (m, 4).
        crowd (np.ndarray): Whether each is a crowd, of shape (m,).
        lowest (float): Lowest intersection over union of a pair.

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: Positions of detections, in
        the order of ``chosen``; places of objects; and their overlaps; each of
        shape (pairs,).
    """
    inputs = [
        np.ascontiguousarray(array, dtype)
        for array, dtype in (
            (chosen, np.int64),
            (detection_images, np.int64),
            (detection_boxes, float),
            (object_limits, np.int64),
            (object_boxes, float),
            (crowd, np.uint8),
        )
    ]
    counts = np.empty(len(chosen), np.int64)

    def find(*outputs: Optional[int]) -> None:
        first, *rest = (array.ctypes.data for array in inputs)
        library.sge_overlapping_pairs(
            first, len(chosen), *rest, lowest, counts.ctypes.data, *outputs
        )

    # First how many there are, then which ones.
    find(None, None)
    objects = np.empty(counts.sum(), np.int64)
    overlaps = np.empty(len(objects))
    find(objects.ctypes.data, overlaps.ctypes.data)
    return np.repeat(chosen, counts), objects, overlaps
