"""Parts of a data set, without what has nothing to evaluate.

A file of a megabyte can name tens of thousands of categories and images, and
tables of all by all would take gigabytes.
"""

from dataclasses import replace
from typing import Any, Tuple

import numpy as np

from .structures import Detections, GroundTruth


def of_categories(
    ground_truth: GroundTruth,
    detections: Detections,
    chosen: np.ndarray,
) -> 'Tuple[GroundTruth, Detections]':
    """Return what is of some categories, which then are all there are.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        chosen (np.ndarray): Indices of the categories, ascending.
    """
    ground_truth, detections = (
        _rows(columns, np.isin(columns.category, chosen))
        for columns in (ground_truth, detections)
    )
    ids = ground_truth.category_ids[chosen]
    return replace(
        ground_truth,
        category=np.searchsorted(chosen, ground_truth.category),
        category_ids=ids,
        label_ids=ids,
        category_names=[ground_truth.category_names[k] for k in chosen],
    ), replace(
        detections, category=np.searchsorted(chosen, detections.category)
    )


def of_used_images(
    ground_truth: GroundTruth,
    detections: Detections,
) -> 'Tuple[GroundTruth, Detections]':
    """Return the same without images that have no object and no detection.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
    """
    used = np.unique(np.concatenate([ground_truth.image, detections.image]))
    return replace(
        ground_truth,
        image=np.searchsorted(used, ground_truth.image),
        image_ids=ground_truth.image_ids[used],
        image_sizes=ground_truth.image_sizes[used],
        file_names=[ground_truth.file_names[i] for i in used],
    ), replace(detections, image=np.searchsorted(used, detections.image))


def _rows(columns: Any, keep: np.ndarray) -> Any:
    """Return some of the objects or detections."""
    if keep.all():
        return columns
    names = {'image', 'category', 'box', 'area', 'score', 'crowd'}
    kept = {
        name: getattr(columns, name)[keep] for name in names & {*vars(columns)}
    }
    if columns.segmentation is not None:
        kept['segmentation'] = [
            columns.segmentation[i] for i in np.flatnonzero(keep)
        ]
    return replace(columns, **kept)
