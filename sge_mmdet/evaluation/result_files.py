"""Files with detections: COCO's JSON and MMDetection's pickles."""

from itertools import chain
from pathlib import Path
from typing import List, Optional, Tuple, Union

import numpy as np

from ..utils import load_json, no_garbage_collection, read_json_text
from .result_pickle import detections_from_pickle
from .structures import (
    Detections,
    GroundTruth,
    check_categories,
    detections_from_coco,
    make_detections,
)

try:
    import msgspec
except ImportError:
    msgspec = None  # type: ignore[assignment]

PICKLES = ('.pkl', '.pickle')

if msgspec:

    class _Detection(msgspec.Struct, gc=False):
        image_id: int
        category_id: int
        bbox: Tuple[float, float, float, float]
        score: float


def read_detections(
    path: Union[str, Path], ground_truth: GroundTruth, metric: str = 'bbox'
) -> Detections:
    """Read a result file.

    Args:
        path (str or Path): COCO's result format in JSON, as MMDetection's
            ``outfile_prefix`` writes it, or the pickle of ``tools/test.py
            --out``, of which nothing is run.
        ground_truth (GroundTruth): What they are of. The labels of a
            pickle are positions among its categories.
        metric (str): Metric, "bbox" or "segm". Default: "bbox".

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is damaged, not of the format, or not of this
            ground truth.
    """
    path, masks = Path(path), metric == 'segm'
    if path.suffix in PICKLES:
        return detections_from_pickle(path, ground_truth, masks)
    detections = None if masks else _fast_from_json(path, ground_truth)
    if detections is None:
        detections = detections_from_coco(
            load_json(path), ground_truth, str(path), masks
        )
    return detections


@no_garbage_collection()
def _fast_from_json(
    path: Path, ground_truth: GroundTruth
) -> Optional[Detections]:
    """Read well-formed boxes in a quarter of the time.

    Returns:
        Detections or None: None where there is anything unusual, which is for
        the slower way to name.
    """
    if msgspec is None:
        return None
    text = read_json_text(path)
    try:
        rows = msgspec.json.decode(text, type=List[_Detection])
    except (msgspec.MsgspecError, RecursionError):
        return None
    image, category, score, boxes = (
        [getattr(row, name) for row in rows]
        for name in ('image_id', 'category_id', 'score', 'bbox')
    )
    box = np.fromiter(chain.from_iterable(boxes), float, 4 * len(boxes))
    try:
        check_categories(ground_truth, category, str(path))
    except TypeError:  # Of numbers of more than 64 bits.
        return None
    # As arrays, which need not be looked at for text and booleans again.
    return make_detections(
        ground_truth,
        np.array(image),
        np.array(category),
        box.reshape(-1, 4),
        np.array(score, float),
        name=str(path),
    )
