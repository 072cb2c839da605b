"""Result pickles of MMDetection's ``tools/test.py --out``."""

import pickle
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np

from ..utils import no_garbage_collection, printable
from ..utils.plain_pickle import Budget, PlainPickle
from .entries import LARGEST_ID
from .result_arrays import pickled_array_names
from .result_tensors import pickled_tensor_names
from .structures import (
    Detections,
    GroundTruth,
    corners_to_sizes,
    make_detections,
)

# Kinds of numbers and what follows the number of detections in the shape.
TENSORS: Dict[str, Tuple[str, str, Tuple[int, ...]]] = {
    'bboxes': ('floating point', 'f', (4,)),
    'scores': ('floating point', 'f', ()),
    'labels': ('whole', 'iu', ()),
}


def detections_from_pickle(
    path: Path, ground_truth: GroundTruth, masks: bool = False
) -> Detections:
    """Read the pickle of ``tools/test.py --out``, of which nothing is run.

    Args:
        path (Path): The file.
        ground_truth (GroundTruth): What the detections are of. Labels are
            positions among its categories.
        masks (bool): Whether masks are evaluated. Default: False.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is damaged, not of the format, or not of this
            ground truth.
    """
    name, size = str(path), path.stat().st_size if path.is_file() else 0
    results = _load(path)
    try:
        images, detections = _split(results)
        columns = [
            _check_instances(instances, i, masks)
            for i, instances in enumerate(detections)
        ]
        # One list or tensor can stand for many.
        if sum(column.size for row in columns for column in row) > size:
            raise ValueError('the same detections are there many times')
        segmentation = _masks(detections, size) if masks else None
        box, score, label = (
            [row[i] for row in columns] for i in range(len(TENSORS))
        )
        category = _categories(_joined(label, int), ground_truth)
    except ValueError as error:
        raise ValueError(
            f'{name} is not a result file of tools/test.py '
            f'--out, or not of this ground truth: {error}'
        ) from error
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


def _load(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f'There is no file {path}')
    data = path.read_bytes()
    budget = Budget(len(data))
    try:
        with no_garbage_collection():
            return PlainPickle(
                data,
                {
                    **pickled_tensor_names(budget),
                    **pickled_array_names(budget),
                },
                budget,
            ).load()
    except pickle.UnpicklingError as error:
        raise ValueError(
            f'{path} is not a result file of tools/test.py --out, or is '
            f'truncated; nothing of it was run: {error}'
        ) from error


def _split(results: Any) -> Tuple[List[int], List[dict]]:
    """Return the images' ids, each once, and their detections."""
    if type(results) is not list:
        raise ValueError(
            f'it holds no list of images, but a {type(results).__name__}'
        )
    for i, result in enumerate(results):
        if (
            type(result) is not dict
            or type(result.get('pred_instances')) is not dict
        ):
            raise ValueError(
                f"result {i} is no dict with a dict 'pred_instances'"
            )
        image = result.get('img_id')
        if type(image) is not int or abs(image) > LARGEST_ID:
            raise ValueError(
                f"the 'img_id' of result {i} is not a whole "
                f'number: {printable(image, 80)}'
            )
    images = [result['img_id'] for result in results]
    if len({*images}) < len(images):
        raise ValueError('an image is there twice')
    return images, [result['pred_instances'] for result in results]


def _check_instances(instances: dict, i: int, masks: bool) -> List[np.ndarray]:
    """Return an image's boxes, scores and labels, as many of each."""
    columns = []
    for key, (word, kinds, shape) in TENSORS.items():
        tensor = instances.get(key)
        if not isinstance(tensor, np.ndarray):
            raise ValueError(f'result {i} has no tensor {key!r}')
        if (
            tensor.dtype.kind not in kinds
            or tensor.ndim != 1 + len(shape)
            or (tensor.shape[1:] != shape)
        ):
            expected = ', '.join(map(str, ('n', *shape)))
            raise ValueError(
                f'{key} of result {i} are of type {tensor.dtype} and shape '
                f'{tensor.shape}, not {word} numbers of shape ({expected})'
            )
        columns.append(tensor)
    lengths = {key: len(column) for key, column in zip(TENSORS, columns)}
    if masks:
        if type(instances.get('masks')) is not list:
            raise ValueError(f"result {i} has no list 'masks'")
        lengths['masks'] = len(instances['masks'])
    if len({*lengths.values()}) > 1:
        raise ValueError(
            f'result {i} has '
            + ', '.join(f'{number} {key}' for key, number in lengths.items())
            + ', where as many of each belong'
        )
    return columns


def _masks(detections: Sequence[dict], size: int) -> List[Any]:
    """Return all images' masks, which are read once for each use."""
    masks = [mask for instances in detections for mask in instances['masks']]
    counts: Iterable[Any] = (
        mask.get('counts') for mask in masks if type(mask) is dict
    )
    if sum(len(text) for text in counts if type(text) in (str, bytes)) > size:
        raise ValueError('the same masks are there many times')
    return masks


def _categories(label: np.ndarray, ground_truth: GroundTruth) -> np.ndarray:
    known = len(ground_truth.label_ids)
    if len(label) and not 0 <= label.min() <= label.max() < known:
        raise ValueError(
            f'labels from {label.min()} to {label.max()}, the '
            f'ground truth {known} categories'
        )
    return ground_truth.label_ids[label]


def _joined(
    parts: Sequence[np.ndarray], dtype: Optional[type] = None
) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *parts])
