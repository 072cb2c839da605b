"""Detections made from arrays, checked against the ground truth."""

import warnings
from typing import Any, Optional, Sequence, Sized

import numpy as np

from ..utils import printable_list
from ..utils.text import printable_value
from .box_layout import warn_of_layout
from .entries import (
    LARGEST_COORDINATE,
    are_boxes,
    describe_fault,
    find_ids,
    id_column,
    number_table,
)
from .masks import own_sizes, rle_areas
from .structures import Detections, GroundTruth


def make_detections(
    ground_truth: GroundTruth,
    image_ids: Any,
    category_ids: Any,
    box: Any,
    score: Any,
    segmentation: Optional[list] = None,
    name: str = 'The result',
    lenient: bool = False,
) -> Detections:
    """Return detections, with ids replaced by indices of the ground truth.

    Args:
        ground_truth (GroundTruth): Ground truth of the same images.
        image_ids (array): Ids of the images, of shape (n,).
        category_ids (array): Ids of the categories, of shape (n,). Detections
            of categories that are not evaluated are left out.
        box (array): Boxes (x, y, width, height) in pixels, of shape (n, 4).
        score (array): Scores, of shape (n,).
        segmentation (list, optional): RLE of each detection, whose areas then
            count. Default: None, boxes are evaluated.
        name (str): Name of the result, for messages. Default: "The result".
        lenient (bool): Whether to take what CocoMetric takes: detections that
            are not finite, which a model that diverged makes, are left out
            with a warning, and masks may have another size than their image.
            Default: False, as for files from elsewhere.

    Returns:
        Detections: The detections.

    Raises:
        ValueError: If an image is not in the ground truth, a number is not
            finite, a size is negative, or a mask is damaged.
    """
    try:
        box = number_table('bbox [x, y, width, height]', box, 4)
        score = number_table('score', score, 1)[:, 0]
        image_ids = _numbers_like(
            'image_id', image_ids, ground_truth.image_ids
        )
        known = ground_truth.category_ids
        category = find_ids(
            known, _numbers_like('category_id', category_ids, known)
        )
    except TypeError as error:
        raise ValueError(
            f'{name} is not a COCO result file: '
            f'{describe_fault("a detection", error)}'
        ) from error
    _check_lengths(image_ids, category, box, score, segmentation, name=name)
    image = _find_images(ground_truth, image_ids, name)
    keep = _are_good(box, score, name, lenient) & (category >= 0)
    if not lenient:
        warn_of_layout(box, ground_truth.image_sizes[image], name)
    area = box[:, 2] * box[:, 3]
    if segmentation is not None:
        sizes = ground_truth.image_sizes[image]
        if lenient:
            sizes = own_sizes(segmentation, sizes)
        area = rle_areas(
            segmentation, sizes, f'{name}, of {ground_truth.name}'
        )
        segmentation = [segmentation[i] for i in np.flatnonzero(keep)]
    return Detections(
        image[keep],
        category[keep],
        box[keep],
        score[keep],
        area[keep],
        segmentation,
    )


def corners_to_sizes(boxes: Sequence[np.ndarray]) -> np.ndarray:
    """Convert boxes (x1, y1, x2, y2) to boxes (x, y, width, height).

    Args:
        boxes (Sequence[np.ndarray]): Boxes of each image, of shape (n, 4).

    Returns:
        np.ndarray: Boxes of all images in double precision, of shape (N, 4).
    """
    box = np.concatenate([np.zeros((0, 4)), *boxes])
    return np.concatenate([box[:, :2], box[:, 2:] - box[:, :2]], 1)


def warn_of_missing_images(
    ground_truth: GroundTruth, images: int, name: str
) -> None:
    """Warn if a result does not have all images of the ground truth.

    Args:
        ground_truth (GroundTruth): The ground truth.
        images (int): Number of images that have a result.
        name (str): Name of the result, for the message.
    """
    total = len(ground_truth.image_ids)
    if images < total:
        warnings.warn(
            f'{name} has results of {images} of {total} images; the others '
            'count as images without detections',
            stacklevel=3,
        )


def warn_of_few_images(
    ground_truth: GroundTruth, detections: Detections, name: str
) -> None:
    """Warn if a result in COCO's format has detections in few images.

    It does not tell images without detections from missing ones.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        name (str): Name of the result, for the message.
    """
    images = len(np.unique(detections.image))
    if 2 * images < len(ground_truth.image_ids):
        warn_of_missing_images(ground_truth, images, name)


def check_categories(
    ground_truth: GroundTruth,
    ids: Any,
    name: str,
    mend: str = 'give the annotation file that the detector was tested on',
) -> None:
    """Raise if a category is not in the ground truth.

    Args:
        ground_truth (GroundTruth): Ground truth of the same images.
        ids (array or Sequence[int]): Ids of the detections' categories.
        name (str): Name of the result file, for messages.
        mend (str): How to mend it, for messages.

    Raises:
        TypeError: If an id is not a number.
        ValueError: If a category is not in the ground truth.
    """
    # In numpy: Python takes quadratic time for a set of numbers that have
    # the same hash, as multiples of 2^61 - 1 have.
    known = np.concatenate([ground_truth.label_ids, ground_truth.other_ids])
    column = _numbers_like('category_id', ids, known)
    unknown = np.unique(column[find_ids(known, column) < 0])
    if len(unknown):
        shown = printable_list(map(printable_value, unknown.tolist()), 8)
        if unknown.tolist() == [0] and len(known):
            mend += (
                f'. Its categories are {known.min()} to {known.max()}; labels '
                'that count from 0 on must be turned into ids of categories'
            )
        raise ValueError(
            f'{name} has detections of category {shown}, which the ground '
            f'truth does not have; {mend}'
        )


def _numbers_like(name: str, ids: Any, known: np.ndarray) -> np.ndarray:
    """Return ids as an array; errors show an id of the ground truth."""
    try:
        return id_column(name, ids)
    except TypeError as error:
        if not len(known):
            raise
        raise TypeError(
            f'{error}; the ground truth has numbers such as {known[0]}'
        ) from error


def _check_lengths(*columns: Optional[Sized], name: str) -> None:
    lengths = {len(column) for column in columns if column is not None}
    if len(lengths) > 1:
        raise ValueError(
            f'{name}: expected as many boxes as scores, labels and masks, got '
            f'{" and ".join(map(str, sorted(lengths)))} of them'
        )


def _find_images(
    ground_truth: GroundTruth, image_ids: np.ndarray, name: str
) -> np.ndarray:
    """Return the index of each detection's image, of shape (n,)."""
    image = find_ids(ground_truth.image_ids, image_ids)
    is_unknown = image < 0
    if is_unknown.any():
        raise ValueError(
            f'{name} does not belong to this ground truth: it has detections '
            f'in image {image_ids[is_unknown.argmax()]}, which the ground '
            f'truth does not have ({is_unknown.sum()} such detections); give '
            'the annotation file that the detector was tested on'
        )
    return image


def _are_good(
    box: np.ndarray, score: np.ndarray, name: str, lenient: bool
) -> np.ndarray:
    """Return which detections are finite, of shape (n,).

    Raises:
        ValueError: If some are not and ``lenient`` is false.
    """
    good = np.isfinite(score) & are_boxes(box)
    if not good.all():
        first = (~good).argmax()
        text = (
            f'{name}: {(~good).sum()} detections have a box or score that is '
            f'not finite, a coordinate beyond {LARGEST_COORDINATE:.0e} pixels '
            f'or a negative size; the first is number {first}: '
            f'bbox {box[first].tolist()}, score {score[first]}'
        )
        if not lenient:
            raise ValueError(text)
        warnings.warn(f'{text}. They are left out', stacklevel=3)
    return good
