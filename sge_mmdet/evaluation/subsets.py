"""Parts of a data set, without categories and images of no use.

A file of a megabyte can name tens of thousands of categories and images, and
tables of categories x images would take gigabytes.
"""

from dataclasses import replace
from typing import Any, Dict, Tuple, TypeVar

import numpy as np

from .structures import Detections, GroundTruth

Structure = TypeVar('Structure', GroundTruth, Detections)


def of_categories(
    ground_truth: GroundTruth,
    detections: Detections,
    chosen: np.ndarray,
) -> Tuple[GroundTruth, Detections]:
    """Return the objects and detections of some categories.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        chosen (np.ndarray): Indices of the categories, ascending.

    Returns:
        tuple[GroundTruth, Detections]: Both, with indices among the chosen
        categories.
    """
    ground_truth = take_rows(
        ground_truth, np.isin(ground_truth.category, chosen)
    )
    detections = take_rows(detections, np.isin(detections.category, chosen))
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
) -> Tuple[GroundTruth, Detections]:
    """Leave out images without objects and detections.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.

    Returns:
        tuple[GroundTruth, Detections]: Both, with indices among the images
        that are left.
    """
    used = np.unique(np.concatenate([ground_truth.image, detections.image]))
    return replace(
        ground_truth,
        image=np.searchsorted(used, ground_truth.image),
        image_ids=ground_truth.image_ids[used],
        image_sizes=ground_truth.image_sizes[used],
        file_names=[ground_truth.file_names[i] for i in used],
        groups=(
            None if ground_truth.groups is None else ground_truth.groups[used]
        ),
    ), replace(detections, image=np.searchsorted(used, detections.image))


def take_rows(structure: Structure, keep: np.ndarray) -> Structure:
    """Return some of the objects or detections.

    Args:
        structure (GroundTruth or Detections): Objects or detections, n of
            them.
        keep (np.ndarray): Which of them to keep, of shape (n,).
    """
    if keep.all():
        return structure
    names = {'image', 'category', 'box', 'area', 'score', 'crowd'}
    kept: Dict[str, Any] = {
        name: getattr(structure, name)[keep]
        for name in names & {*vars(structure)}
    }
    if structure.segmentation is not None:
        kept['segmentation'] = [
            structure.segmentation[i] for i in np.flatnonzero(keep)
        ]
    return replace(structure, **kept)
