"""Detections of each image, in the form of MMDetection's results."""

import math
from typing import (
    Any,
    Dict,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np

from ..utils import printable
from .checked_detections import (
    check_categories,
    corners_to_sizes,
    make_detections,
    warn_of_missing_images,
)
from .entries import LARGEST_ID
from .structures import Detections, GroundTruth


class _Expected(NamedTuple):
    """Expected numbers of a tensor.

    Attributes:
        numbers: Kind of the numbers, for messages.
        kinds: Kinds of numpy's types that are accepted.
        shape: Shape of each detection's part.
    """

    numbers: str
    kinds: str
    shape: Tuple[int, ...]


TENSORS: Dict[str, _Expected] = {
    'bboxes': _Expected('floating-point', 'f', (4,)),
    'scores': _Expected('floating-point', 'f', ()),
    'labels': _Expected('whole', 'iu', ()),
}
# How to mend labels that are no ids of categories.
NO_IDS = (
    'if the labels are positions and not ids, name the classes of the '
    'detector in their order (categories=[...], in_label_order=True), or give '
    "categories='all' if they are all categories of the ground truth"
)


def detections_from_instances(
    results: Any,
    ground_truth: GroundTruth,
    name: str = 'The result',
    masks: bool = False,
    size: float = math.inf,
    wrong: str = 'cannot be evaluated with this ground truth',
    by_id: bool = False,
) -> Detections:
    """Convert the detections of each image.

    Args:
        results (list[dict]): Results of the images, ``dict(img_id=...,
            pred_instances=dict(bboxes=..., scores=..., labels=...))`` with
            arrays of numpy, and a list ``masks`` in RLE if masks are
            evaluated. Boxes are corners (x1, y1, x2, y2) in pixels.
        ground_truth (GroundTruth): Ground truth of the same images.
        name (str): Name of the result, for messages. Default: "The result".
        masks (bool): Whether masks are evaluated. Default: False.
        size (float): Size in bytes of the file that the results come from,
            which limits how much they hold. Default: infinity.
        wrong (str): What is wrong with a result that cannot be converted, for
            messages.
        by_id (bool): Whether labels are ids of categories. Default: False,
            positions in ``label_ids`` of the ground truth.

    Returns:
        Detections: The detections.

    Raises:
        ValueError: If they are of another form, or do not belong to the
            ground truth.
    """
    try:
        images, columns, segmentation = _columns(results, masks, size)
        box, score, label = columns
        labels = _joined(label, int)
        category = labels if by_id else _categories(labels, ground_truth)
    except ValueError as error:
        raise ValueError(f'{name} {wrong}: {error}') from error
    if by_id:
        check_categories(ground_truth, category, name, NO_IDS)
    else:
        _check_classes(labels, ground_truth, name)
    has_result = np.isin(ground_truth.image_ids, np.array(images, int))
    warn_of_missing_images(ground_truth, int(has_result.sum()), name)
    image = np.repeat(np.array(images, int), [len(x) for x in score])
    return make_detections(
        ground_truth,
        image,
        category,
        corners_to_sizes(box),
        _joined(score, float),
        segmentation,
        name,
    )


def _columns(
    results: Any, masks: bool, size: float
) -> Tuple[List[int], List[List[np.ndarray]], Optional[List[Any]]]:
    """Return the parts of all results; takes arguments of the function above.

    Returns:
        tuple: Ids of the images; boxes, scores and labels of each image;
        masks of all images, or None.
    """
    images, detections = _split(results)
    rows = [
        _check_instances(instances, i, masks)
        for i, instances in enumerate(detections)
    ]
    # One list or tensor can occur in many results.
    if sum(column.size for row in rows for column in row) > size:
        raise ValueError(
            'the same detections occur many times, so that there are more '
            'numbers than the file has bytes'
        )
    columns = [[row[i] for row in rows] for i in range(len(TENSORS))]
    return images, columns, _masks(detections, size) if masks else None


def _split(results: Any) -> Tuple[List[int], List[dict]]:
    """Return the ids of the images, which are unique, and their detections."""
    if type(results) is not list:
        raise ValueError(
            'expected a list with a result per image, got a '
            f'{type(results).__name__}'
        )
    for i, result in enumerate(results):
        if (
            type(result) is not dict
            or type(result.get('pred_instances')) is not dict
        ):
            raise ValueError(
                f"expected a dict with a dict 'pred_instances' as result {i}"
            )
        image = result.get('img_id')
        if type(image) is not int or abs(image) > LARGEST_ID:
            raise ValueError(
                f"expected a whole number up to 2^53 as the 'img_id' of "
                f'result {i}, got {printable(image, 80)}'
            )
    images = [result['img_id'] for result in results]
    if len({*images}) < len(images):
        raise ValueError(
            'expected one result per image; an image occurs twice'
        )
    return images, [result['pred_instances'] for result in results]


def _check_instances(instances: dict, i: int, masks: bool) -> List[np.ndarray]:
    """Return boxes, scores and labels of an image, as many of each.

    Args:
        instances (dict): Detections of the image.
        i (int): Position of the image's result, for messages.
        masks (bool): Whether masks are evaluated.
    """
    columns = [_check_tensor(instances, key, i) for key in TENSORS]
    lengths = {key: len(column) for key, column in zip(TENSORS, columns)}
    if masks:
        if type(instances.get('masks')) is not list:
            raise ValueError(
                f'result {i} has no list \'masks\', which metric="segm" needs'
            )
        lengths['masks'] = len(instances['masks'])
    if len({*lengths.values()}) > 1:
        raise ValueError(
            f'result {i} has '
            + ', '.join(f'{number} {key}' for key, number in lengths.items())
            + '; expected as many of each'
        )
    return columns


def _check_tensor(instances: dict, key: str, i: int) -> np.ndarray:
    """Return a tensor of an image's detections."""
    tensor, expected = instances.get(key), TENSORS[key]
    if not isinstance(tensor, np.ndarray):
        raise ValueError(f'result {i} has no tensor {key!r}')
    if (
        tensor.dtype.kind not in expected.kinds
        or tensor.ndim != 1 + len(expected.shape)
        or tensor.shape[1:] != expected.shape
    ):
        shape = ', '.join(map(str, ('n', *expected.shape)))
        raise ValueError(
            f'expected {key} of result {i} to be {expected.numbers} numbers '
            f'of shape ({shape}), got type {tensor.dtype} and shape '
            f'{tensor.shape}'
        )
    return tensor


def _masks(detections: Sequence[dict], size: float) -> List[Any]:
    """Return the masks of all images.

    Args:
        detections (Sequence[dict]): Detections of each image.
        size (float): Size of the file in bytes; infinite without a file.

    Raises:
        ValueError: If masks that occur many times make up more text than the
            file; each occurrence would be decoded.
    """
    masks = [mask for instances in detections for mask in instances['masks']]
    counts: Iterable[Any] = (
        mask.get('counts') for mask in masks if type(mask) is dict
    )
    if sum(len(text) for text in counts if type(text) in (str, bytes)) > size:
        raise ValueError(
            'the same masks occur many times, so that they have more '
            'characters than the file has bytes'
        )
    return masks


def _categories(label: np.ndarray, ground_truth: GroundTruth) -> np.ndarray:
    """Return the ids of the categories that labels mean."""
    known = len(ground_truth.label_ids)
    if len(label) and not 0 <= label.min() <= label.max() < known:
        if ground_truth.has_known_labels and len(ground_truth.other_ids):
            raise ValueError(
                f'labels go from {label.min()} to {label.max()}, but only '
                f'{known} of the {known + len(ground_truth.other_ids)} '
                'categories of the ground truth were named as classes; name '
                'all classes of the detector, in the order of its labels'
            )
        raise ValueError(
            f'labels go from {label.min()} to {label.max()}, but the ground '
            f'truth has {known} categories; give the annotation file that the '
            'detector was tested on'
        )
    return ground_truth.label_ids[label]


def _check_classes(
    label: np.ndarray, ground_truth: GroundTruth, name: str
) -> None:
    """Raise if labels may mean other categories than the file's first ones.

    A detector of some of the categories numbers them from 0 as well.

    Args:
        label (np.ndarray): Labels of all detections.
        ground_truth (GroundTruth): Ground truth of the same images.
        name (str): Name of the result file, for the message.
    """
    known = len(ground_truth.label_ids)
    if (
        not ground_truth.has_known_labels
        and len(label)
        and label.max() + 1 < known
    ):
        raise ValueError(
            f'{name} has labels up to {label.max()}, but {ground_truth.name} '
            f'has {known} categories, so that a label may mean another one '
            'than its number says. Name the classes of the detector: '
            '--classes with their names in the order of its labels, with its '
            'config or with its checkpoint; --classes all if they are all '
            'categories of the file (in Python: the argument categories)'
        )


def _joined(
    parts: Sequence[np.ndarray], dtype: Optional[type] = None
) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *parts])
