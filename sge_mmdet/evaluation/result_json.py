"""Detections in COCO's result format."""

from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, List, Optional, Tuple

import numpy as np

from ..utils import (
    check_parsed_size,
    load_json,
    no_garbage_collection,
    read_json_text,
)
from .checked_detections import check_categories, make_detections
from .entries import describe_fault
from .native import Boxes, read_boxes
from .structures import Detections, GroundTruth

try:
    import msgspec
except ImportError:
    msgspec = None  # type: ignore[assignment]

if msgspec:

    class _Detection(msgspec.Struct, gc=False):
        image_id: int
        category_id: int
        bbox: Tuple[float, float, float, float]
        score: float


def detections_from_json(
    path: Path, ground_truth: GroundTruth, masks: bool = False
) -> Detections:
    """Read a file in COCO's result format.

    Args:
        path (Path): The file.
        ground_truth (GroundTruth): Ground truth of the same images.
        masks (bool): Whether masks are evaluated. Default: False.

    Returns:
        Detections: The detections.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not of this format or does not belong to the
            ground truth.
    """
    detections = None if masks else _read_plain_boxes(path, ground_truth)
    if detections is None:
        detections = detections_from_coco(
            load_json(path), ground_truth, str(path), masks
        )
    return detections


def detections_from_coco(
    results: Any, ground_truth: GroundTruth, name: str, masks: bool = False
) -> Detections:
    """Convert the content of a file in COCO's result format.

    Args:
        results (list[dict]): Detections, as MMDetection's ``outfile_prefix``
            writes them.
        ground_truth (GroundTruth): Ground truth of the same images.
        name (str): Name of the file, for messages.
        masks (bool): Whether masks are evaluated. Default: False.

    Returns:
        Detections: The detections.

    Raises:
        ValueError: If a key is missing, or as :func:`make_detections`.
    """
    if not isinstance(results, list):
        raise ValueError(
            f'{name} is not a COCO result file: expected a list of '
            'detections, as outfile_prefix of CocoMetric writes it, got a '
            f'{type(results).__name__}'
        )
    try:
        image_ids, category_ids, score = (
            [result[key] for result in results]
            for key in ('image_id', 'category_id', 'score')
        )
        segmentation = (
            [result['segmentation'] for result in results] if masks else None
        )
        box = (
            [result.get('bbox', (0, 0, 0, 0)) for result in results]
            if masks
            else [result['bbox'] for result in results]
        )
        images = ground_truth.text_ids.image_numbers(image_ids, name)
        categories = ground_truth.text_ids.category_numbers(category_ids, name)
        check_categories(ground_truth, categories, name)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f'{name} is not a COCO result file{" with masks" * masks}: '
            f'{describe_fault("a detection", error)}'
        ) from error
    return make_detections(
        ground_truth, images, categories, box, score, segmentation, name
    )


def _read_plain_boxes(
    path: Path, ground_truth: GroundTruth
) -> Optional[Detections]:
    """Read boxes in a fraction of the time, if the file holds nothing else.

    Returns:
        Detections or None: None if there is anything unusual, which
        :func:`detections_from_coco` accepts or names in its message.
    """
    ids = ground_truth.text_ids
    if ids.images or ids.categories:
        return None
    text = read_json_text(path)
    boxes = read_boxes(text)
    if boxes is None:
        check_parsed_size(path, text)
        boxes = _decode_boxes(text)
    if boxes is None:
        return None
    try:
        check_categories(ground_truth, boxes.category_id, str(path))
    except TypeError:  # An id has more than 64 bits.
        return None
    # Arrays of numbers need no second check for text and booleans.
    return make_detections(
        ground_truth,
        boxes.image_id,
        boxes.category_id,
        boxes.bbox,
        boxes.score,
        name=str(path),
    )


@no_garbage_collection()
def _decode_boxes(text: bytes) -> Optional[Boxes]:
    """Return the columns of boxes that may have further members."""
    if msgspec is None:
        return None
    try:
        rows = msgspec.json.decode(text, type=List[_Detection])
    except (msgspec.MsgspecError, RecursionError):
        return None
    image_ids, category_ids, score, boxes = (
        list(map(attrgetter(name), rows))
        for name in ('image_id', 'category_id', 'score', 'bbox')
    )
    box = np.fromiter(chain.from_iterable(boxes), float, 4 * len(boxes))
    return Boxes(
        np.array(image_ids),
        np.array(category_ids),
        box.reshape(-1, 4),
        np.array(score, float),
    )
