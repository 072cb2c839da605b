"""Result pickles of MMDetection's ``tools/test.py --out``."""

import pickle
from pathlib import Path
from typing import Any

from ..utils import no_garbage_collection
from ..utils.plain_pickle import Budget, PlainPickle
from .result_arrays import pickled_array_names
from .result_instances import detections_from_instances
from .result_tensors import pickled_tensor_names
from .structures import Detections, GroundTruth


def detections_from_pickle(
    path: Path, ground_truth: GroundTruth, masks: bool = False
) -> Detections:
    """Read the pickle of ``tools/test.py --out``.

    Nothing in the file is executed.

    Args:
        path (Path): The file.
        ground_truth (GroundTruth): Ground truth of the same images. Labels
            are positions in its ``label_ids``.
        masks (bool): Whether masks are evaluated. Default: False.

    Returns:
        Detections: The detections.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is damaged, of another format, or does not belong to
            the ground truth.
    """
    size = path.stat().st_size if path.is_file() else 0
    results = _load(path)
    if ground_truth.text_ids.images:
        results = _with_numbers(results, ground_truth, str(path))
    return detections_from_instances(
        results,
        ground_truth,
        str(path),
        masks,
        size,
        'is not a result file of tools/test.py --out, or does not belong to '
        'this ground truth',
    )


def _with_numbers(results: Any, ground_truth: GroundTruth, name: str) -> Any:
    """Return results whose images have the numbers that stand for text."""
    if type(results) is not list or not all(
        type(result) is dict and 'img_id' in result for result in results
    ):
        # It is refused where the form is checked.
        return results
    numbers = ground_truth.text_ids.image_numbers(
        [result['img_id'] for result in results], name
    )
    return [
        dict(result, img_id=number) for result, number in zip(results, numbers)
    ]


def _load(path: Path) -> Any:
    """Return the content of a pickle; tensors become arrays."""
    if not path.is_file():
        raise FileNotFoundError(f'There is no file {path}')
    data = path.read_bytes()
    budget = Budget(len(data))
    names = {**pickled_tensor_names(budget), **pickled_array_names(budget)}
    try:
        with no_garbage_collection():
            return PlainPickle(data, names, budget).load()
    except pickle.UnpicklingError as error:
        raise ValueError(
            f'{path} is not a result file of tools/test.py --out, or is '
            f'truncated; nothing of it was run: {error}'
        ) from error
