"""Detections of one image in the forms of several libraries.

Forms are told by what an object has, so that no library is imported. Each is
converted to the form of MMDetection's results, with arrays of numpy.
"""

from collections.abc import Mapping
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
from pycocotools import mask as mask_utils

from .entries import LARGEST_ID


class Form(NamedTuple):
    """A form of an image's detections.

    Attributes:
        name: Name of the form, for messages.
        fits: Whether an object has this form.
        keys: Keys or attributes of boxes (x1, y1, x2, y2), scores, labels and
            masks.
        open: Object that has these keys. Default: the detections themselves.
        may_have_ids: Whether labels may be ids of categories. In MMDetection
            they are always positions. Default: True.
    """

    name: str
    fits: Callable[[Any], bool]
    keys: Tuple[str, str, str, str]
    open: Callable[[Any], Any] = lambda result: result
    may_have_ids: bool = True


def get(container: Any, key: str) -> Any:
    """Return an item of a mapping or an attribute; None without it.

    Args:
        container (Any): Mapping or object.
        key (str): Key of the item or name of the attribute.
    """
    if isinstance(container, Mapping):
        return container.get(key)
    return getattr(container, key, None)


def is_table(value: Any, columns: int) -> bool:
    """Return whether a value is an array or tensor of so many columns.

    Args:
        value (Any): Any value.
        columns (int): Number of columns.
    """
    shape: Any = getattr(value, 'shape', None)
    return shape is not None and len(shape) == 2 and shape[1] == columns


def to_array(value: Any) -> np.ndarray:
    """Return an array for an array, tensor or list.

    Args:
        value (Any): Array, tensor of any device and type, boxes of
            MMDetection, or list of numbers.
    """
    value = getattr(value, 'tensor', value)
    if hasattr(value, 'detach'):
        value = value.detach().cpu()
        # Numpy has no bfloat16. Double precision holds the same numbers.
        if value.is_floating_point():
            value = value.double()
        value = value.numpy()
    return np.asarray(value)


def find_form(result: Any) -> Optional[Form]:
    """Return the form of an image's detections; None if it has none of them.

    Args:
        result (Any): Any object.
    """
    return next((form for form in FORMS if form.fits(result)), None)


def to_instances(
    result: Any, form: Form, masks: bool, name: str
) -> Dict[str, Any]:
    """Return an image's detections as MMDetection's ``pred_instances``.

    Args:
        result (Any): Detections of an image.
        form (Form): Their form.
        masks (bool): Whether masks are needed.
        name (str): Name of the detections, for messages.

    Returns:
        dict: Arrays ``bboxes`` of shape (n, 4), ``scores`` and ``labels`` of
        shape (n,), and a list ``masks`` in RLE if needed.

    Raises:
        ValueError: If a part is missing or no array, boxes are not corners,
            or masks have a wrong shape.
    """
    container = form.open(result)
    parts = [get(container, key) for key in form.keys]
    if parts[0] is not None and not _array(parts[0], name).size:
        # Without boxes, nothing else is needed.
        parts = [[] if part is None else part for part in parts]
    for key, part in zip(form.keys, parts[: 3 + masks]):
        if part is None:
            raise ValueError(
                f'{name}: expected {form.name} with {key}, got none'
            )
    box, score, label = (_array(part, name) for part in parts[:3])
    instances: Dict[str, Any] = dict(
        bboxes=_floats(box, 4), scores=_floats(score), labels=_labels(label)
    )
    _check_corners(instances['bboxes'], name)
    if masks:
        instances['masks'] = _run_lengths(parts[3], name)
    return instances


def _array(value: Any, name: str) -> np.ndarray:
    """Return an array for an array, tensor or list, or name what is wrong."""
    try:
        return to_array(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'{name}: expected an array, a tensor or a list of rows of the '
            f'same length, got a {type(value).__name__} that is no array: '
            f'{error}'
        ) from error


def _check_corners(box: np.ndarray, name: str) -> None:
    """Raise if boxes are not corners, but (x, y, width, height) perhaps."""
    if box.shape[1:] != (4,) or box.dtype.kind != 'f':
        return  # Named later, with the expected shape.
    wrong = (box[:, 2:] < box[:, :2]).any(1)
    if wrong.any():
        raise ValueError(
            f'{name}: expected boxes as corners (x1, y1, x2, y2) with x1 <= '
            f'x2 and y1 <= y2, got {box[wrong.argmax()].tolist()}; convert '
            'boxes (x, y, width, height) to (x, y, x + width, y + height)'
        )


def _floats(values: np.ndarray, *shape: int) -> np.ndarray:
    """Return numbers in floating point; an empty list gets its shape."""
    if not values.size:
        return np.zeros((0, *shape))
    return values.astype(float) if values.dtype.kind in 'iu' else values


def _labels(values: np.ndarray) -> np.ndarray:
    """Return labels as integers, if they are whole numbers."""
    if not values.size:
        return np.zeros(0, int)
    is_whole = values.dtype.kind in 'iu' or (
        values.dtype.kind == 'f'
        and bool(
            ((abs(values) <= LARGEST_ID) & (values == np.floor(values))).all()
        )
    )
    return values.astype(int) if is_whole else values


def _run_lengths(masks: Any, name: str) -> List[Any]:
    """Return masks in COCO's compressed RLE.

    Args:
        masks (Any): Masks in RLE, or probabilities or booleans of shape (n,
            height, width) or (n, 1, height, width).
        name (str): Name of the detections, for messages.

    Raises:
        ValueError: If they have another shape.
    """
    if isinstance(masks, (list, tuple)) and (
        not masks or isinstance(masks[0], Mapping)
    ):
        return list(masks)
    table = _array(masks, name)
    if table.ndim == 4 and table.shape[1] == 1:
        table = table[:, 0]
    if table.ndim != 3:
        raise ValueError(
            f'{name}: expected masks to be a list in RLE or of shape (n, '
            f'height, width), got shape {table.shape}'
        )
    return [
        mask_utils.encode(np.asfortranarray(mask > 0.5, np.uint8))
        for mask in table
    ]


def _columns(result: Any) -> Dict[str, np.ndarray]:
    """Return the parts of rows (x1, y1, x2, y2, score, label)."""
    rows = to_array(result)
    return dict(boxes=rows[:, :4], scores=rows[:, 4], labels=rows[:, 5])


FORMS = (
    Form(
        "MMDetection's result",
        lambda result: get(result, 'pred_instances') is not None,
        ('bboxes', 'scores', 'labels', 'masks'),
        lambda result: get(result, 'pred_instances'),
        may_have_ids=False,
    ),
    Form(
        "supervision's Detections",
        lambda result: hasattr(result, 'xyxy') and hasattr(result, 'class_id'),
        ('xyxy', 'confidence', 'class_id', 'mask'),
    ),
    Form(
        "torchvision's dict",
        lambda result: isinstance(result, Mapping) and 'boxes' in result,
        ('boxes', 'scores', 'labels', 'masks'),
    ),
    Form(
        'an array of rows (x1, y1, x2, y2, score, label)',
        lambda result: is_table(result, 6),
        ('boxes', 'scores', 'labels', 'masks'),
        _columns,
    ),
)
