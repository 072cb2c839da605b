"""Parts of a data set, without what has nothing to evaluate.

A file of a megabyte can name tens of thousands of categories and images, and
tables of all by all would take gigabytes.
"""
from dataclasses import replace
from typing import Any, Tuple

import numpy as np

from .columns import Detections, Truth


def of_categories(truth: Truth, found: Detections, chosen: np.ndarray,
                  ) -> 'Tuple[Truth, Detections]':
    """Return what is of some categories, which then are all there are.

    Args:
        truth (Truth): The ground truth.
        found (Detections): What was detected.
        chosen (np.ndarray): Indices of the categories, ascending.
    """
    truth, found = (_rows(columns, np.isin(columns.category, chosen))
                    for columns in (truth, found))
    ids = truth.category_ids[chosen]
    return replace(
        truth, category=np.searchsorted(chosen, truth.category),
        category_ids=ids, label_ids=ids,
        category_names=[truth.category_names[k] for k in chosen],
    ), replace(found, category=np.searchsorted(chosen, found.category))


def of_used_images(truth: Truth, found: Detections,
                   ) -> 'Tuple[Truth, Detections]':
    """Return the same without images that have no object and no detection.

    Args:
        truth (Truth): The ground truth.
        found (Detections): What was detected.
    """
    used = np.unique(np.concatenate([truth.image, found.image]))
    return replace(
        truth, image=np.searchsorted(used, truth.image),
        image_ids=truth.image_ids[used], image_sizes=truth.image_sizes[used],
        file_names=[truth.file_names[i] for i in used],
    ), replace(found, image=np.searchsorted(used, found.image))


def _rows(columns: Any, keep: np.ndarray) -> Any:
    """Return some of the objects or detections."""
    if keep.all():
        return columns
    names = {'image', 'category', 'box', 'area', 'score', 'crowd'}
    kept = {name: getattr(columns, name)[keep]
            for name in names & {*vars(columns)}}
    if columns.segmentation is not None:
        kept['segmentation'] = [columns.segmentation[i]
                                for i in np.flatnonzero(keep)]
    return replace(columns, **kept)
