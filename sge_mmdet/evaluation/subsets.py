"""Parts of a data set, without categories and images of no use.

A file of a megabyte can name tens of thousands of categories and images, and
tables of categories x images would take gigabytes.
"""

from dataclasses import replace
from typing import Any, Dict, Tuple, TypeVar

import numpy as np

from .bins import ALL_SIZES, SizeBin
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
    place = _places(chosen, len(ground_truth.category_ids))
    ground_truth = take_rows(ground_truth, place[ground_truth.category] >= 0)
    detections = take_rows(detections, place[detections.category] >= 0)
    ids = ground_truth.category_ids[chosen]
    return replace(
        ground_truth,
        category=place[ground_truth.category],
        category_ids=ids,
        label_ids=ids,
        category_names=[ground_truth.category_names[k] for k in chosen],
    ), replace(detections, category=place[detections.category])


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
    images = len(ground_truth.image_ids)
    is_used = np.zeros(images, bool)
    is_used[ground_truth.image] = True
    is_used[detections.image] = True
    if is_used.all():
        return ground_truth, detections
    used = np.flatnonzero(is_used)
    place = _places(used, images)
    return replace(
        ground_truth,
        image=place[ground_truth.image],
        image_ids=ground_truth.image_ids[used],
        image_sizes=ground_truth.image_sizes[used],
        file_names=[ground_truth.file_names[i] for i in used],
        groups=(
            None if ground_truth.groups is None else ground_truth.groups[used]
        ),
    ), replace(detections, image=place[detections.image])


def is_counted(
    ground_truth: GroundTruth, bin: SizeBin = ALL_SIZES
) -> np.ndarray:
    """Return which objects of a size are not ignored, of shape (objects,).

    A protocol makes the objects that it ignores crowds, or gives them an area
    that no bin holds.

    Args:
        ground_truth (GroundTruth): The ground truth.
        bin (SizeBin): Bin of object sizes. Default: all sizes.
    """
    return ~ground_truth.crowd & bin.holds(ground_truth.area)


def with_outside_as_crowd(
    ground_truth: GroundTruth, bin: SizeBin
) -> GroundTruth:
    """Return the ground truth with objects of other sizes as crowds.

    Args:
        ground_truth (GroundTruth): The ground truth.
        bin (SizeBin): Bin of object sizes.
    """
    return replace(
        ground_truth,
        crowd=ground_truth.crowd | ~bin.holds(ground_truth.area),
    )


def take_rows(structure: Structure, keep: np.ndarray) -> Structure:
    """Return some of the objects or detections.

    Args:
        structure (GroundTruth or Detections): Objects or detections, n of
            them.
        keep (np.ndarray): Which of them to keep, of shape (n,).
    """
    return structure if keep.all() else _rows(structure, np.flatnonzero(keep))


def as_one_class(
    ground_truth: GroundTruth, detections: Detections
) -> Tuple[GroundTruth, Detections]:
    """Return objects and detections as if all were of the same class.

    As in pycocotools, those of the first class come first, which decides among
    equal scores.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
    """
    ground_truth, detections = (
        _rows(ground_truth, np.argsort(ground_truth.category, kind='stable')),
        _rows(detections, np.argsort(detections.category, kind='stable')),
    )
    return replace(
        ground_truth,
        category=np.zeros_like(ground_truth.category),
        category_ids=np.zeros(1, int),
        label_ids=np.zeros(1, int),
        category_names=['object'],
    ), replace(detections, category=np.zeros_like(detections.category))


def _rows(structure: Structure, rows: np.ndarray) -> Structure:
    """Return the objects or detections at some positions."""
    names = {'image', 'category', 'box', 'area', 'score', 'crowd'}
    kept: Dict[str, Any] = {
        name: getattr(structure, name)[rows]
        for name in names & {*vars(structure)}
    }
    if structure.segmentation is not None:
        kept['segmentation'] = [structure.segmentation[i] for i in rows]
    return replace(structure, **kept)


def _places(chosen: np.ndarray, number: int) -> np.ndarray:
    """Return the place of each index among the chosen ones, or -1.

    Args:
        chosen (np.ndarray): Indices below ``number``.
        number (int): Number of indices.
    """
    place = np.full(number, -1)
    place[chosen] = np.arange(len(chosen))
    return place
