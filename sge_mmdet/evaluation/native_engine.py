"""Evaluation by the library of loops, with COCO's figures in less time."""

from typing import Tuple

import numpy as np

from .matching_input import are_inside, prepare
from .native.loading import library
from .recalls import COCO_RECALLS
from .settings import Settings
from .structures import Detections, GroundTruth
from .subsets import as_one_class


def is_built() -> bool:
    """Return whether the library is there."""
    return library() is not None


def run_native(
    ground_truth: GroundTruth, detections: Detections, settings: Settings
) -> Tuple[np.ndarray, np.ndarray]:
    """Evaluate detections with the library.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        settings (Settings): Settings of the evaluation.

    Returns:
        tuple[np.ndarray, np.ndarray]: Precision of shape (thresholds, 101,
        categories, bins, max_dets) and recall of shape (thresholds,
        categories, bins, max_dets); -1 without objects.

    Raises:
        ValueError: If the library is not built.
    """
    built = library()
    if built is None:
        raise ValueError(
            'engine="native" needs the C++ library, which is not built: '
            'install sge_mmdet again where there is a C++ compiler, or choose '
            'engine="hotcoco" or engine="pycocotools"'
        )
    if not settings.by_category:
        ground_truth, detections = as_one_class(ground_truth, detections)
    given = prepare(ground_truth, detections, settings)
    objects = given.count_objects()
    precision, recall = given.matcher(built).curves(
        are_inside(detections.area, settings.bins),
        objects,
        np.array(settings.max_dets),
        COCO_RECALLS,
    )
    counted = objects[:, None, :, None] > 0
    precision = np.where(counted[..., None], precision, -1.0)
    recall = np.where(counted, recall, -1.0)
    return (
        np.ascontiguousarray(precision.transpose(3, 4, 0, 2, 1)),
        np.ascontiguousarray(recall.transpose(3, 0, 2, 1)),
    )
