"""Evaluation by pycocotools, COCO's own program."""

import contextlib
import io
from typing import Any, Tuple, Union

import numpy as np

from .coco_format import annotation_entries, category_entries, image_entries
from .settings import Settings
from .structures import Detections, GroundTruth


def run_pycocotools(
    ground_truth: GroundTruth, detections: Detections, settings: Settings
) -> Tuple[np.ndarray, np.ndarray]:
    """Evaluate detections with pycocotools.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        settings (Settings): Settings of the evaluation.

    Returns:
        tuple[np.ndarray, np.ndarray]: Precision of shape (thresholds, 101,
        categories, bins, max_dets) and recall of shape (thresholds,
        categories, bins, max_dets); -1 without objects.
    """
    from pycocotools.cocoeval import COCOeval

    # Its progress messages are of no use here.
    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(
            _to_pycocotools(ground_truth, ground_truth, settings),
            _to_pycocotools(ground_truth, detections, settings),
            'segm' if settings.has_masks else 'bbox',
        )
        run.params.imgIds = ground_truth.image_ids.tolist()
        run.params.catIds = ground_truth.category_ids.tolist()
        run.params.useCats = int(settings.by_category)
        run.params.iouThrs = np.array(settings.thresholds)
        run.params.maxDets = list(settings.max_dets)
        run.params.areaRng = [list(bin.area) for bin in settings.bins]
        run.params.areaRngLbl = [bin.name for bin in settings.bins]
        run.evaluate()
        run.accumulate()
    return run.eval['precision'], run.eval['recall']


def _to_pycocotools(
    ground_truth: GroundTruth,
    structure: Union[GroundTruth, Detections],
    settings: Settings,
) -> Any:
    """Return objects or detections as pycocotools' ``COCO``."""
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = dict(
        images=image_entries(ground_truth),
        categories=category_entries(ground_truth),
        annotations=annotation_entries(
            ground_truth, structure, settings.has_masks
        ),
    )
    coco.createIndex()
    return coco
