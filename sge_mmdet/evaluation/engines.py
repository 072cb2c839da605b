"""Average precision and recall, computed by one of three engines.

All return the arrays of COCO's own evaluation and agree to 1e-10: the loops in
C++ of this package, "native", where a compiler could build them; hotcoco; and
pycocotools, COCO's own program, which is many times slower.
"""

import importlib.util
from dataclasses import replace
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from .bins import SizeBin, with_all_sizes
from .evaluation_result import EvaluationResult
from .hotcoco_engine import run_hotcoco
from .native_engine import is_built, run_native
from .pycocotools_engine import run_pycocotools
from .settings import COCO_THRESHOLDS, METRICS, Settings, check_choice
from .structures import (
    Detections,
    GroundTruth,
    warn_of_federated_labels,
)
from .subsets import (
    is_counted,
    of_categories,
    of_used_images,
    with_outside_as_crowd,
)

Engine = Callable[
    [GroundTruth, Detections, Settings], Tuple[np.ndarray, np.ndarray]
]
RUNS: Dict[str, Engine] = dict(
    native=run_native, hotcoco=run_hotcoco, pycocotools=run_pycocotools
)
ENGINES = tuple(RUNS)
# Limits of the memory of an engine: numbers of curves (of 10 x 101 values,
# one per category, bin and max_dets) and of cells (categories x images x bins)
# that it computes at once. All of COCO is within them.
MOST_CURVES = 2_000
MOST_CELLS = 4_000_000


def default_engine() -> str:
    """Return the fastest engine that is there."""
    if is_built():
        return 'native'
    has_hotcoco = importlib.util.find_spec('hotcoco') is not None
    return 'hotcoco' if has_hotcoco else 'pycocotools'


def evaluate(
    ground_truth: GroundTruth,
    detections: Detections,
    bins: Sequence[SizeBin],
    metric: str = 'bbox',
    thresholds: Sequence[float] = COCO_THRESHOLDS,
    max_dets: Sequence[int] = (100,),
    engine: Optional[str] = None,
    extra_thresholds: Sequence[float] = (),
) -> EvaluationResult:
    """Evaluate detections as COCO does, for objects of several sizes.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        bins (Sequence[SizeBin]): Bins of object sizes besides "all".
        metric (str): Metric: "bbox", "segm", or "proposal", which ignores
            categories. Default: "bbox".
        thresholds (Sequence[float]): IoU thresholds. Default: 0.5 to 0.95.
        max_dets (Sequence[int]): Largest numbers of detections per image and
            category, ascending. Default: (100,), as in all of COCO's figures
            but AR@1 and AR@10.
        engine (str, optional): Engine, "native", "hotcoco" or
            "pycocotools". Default: None, the first of them that is there.
        extra_thresholds (Sequence[float]): IoU thresholds besides
            ``thresholds``, which no mean contains. Default: none.

    Returns:
        EvaluationResult: Precision and recall.

    Raises:
        ValueError: If the engine or metric is unknown, or masks are evaluated
            but missing.
    """
    engine = engine or default_engine()
    check_choice('engine', engine, ENGINES)
    check_choice('metric', metric, METRICS)
    warn_of_federated_labels(ground_truth)
    bins = with_all_sizes(bins)
    extra = tuple(t for t in extra_thresholds if t not in thresholds)
    thresholds = (*extra, *thresholds)
    settings = Settings(bins, metric, thresholds, max_dets)
    if settings.has_masks:
        # Masks are checked once, before an engine reads them.
        ground_truth = replace(ground_truth, segmentation=ground_truth.masks)
    run = RUNS[engine]
    # hotcoco does not tell bins of the same areas apart, such as "0-inf" and
    # "all".
    areas = list(dict.fromkeys(bin.area for bin in bins))
    place = [areas.index(bin.area) for bin in bins]
    distinct = settings._replace(
        bins=[bins[place.index(i)] for i in range(len(areas))]
    )
    in_bins = _by_bin if bins[0].outside_is_crowd else _in_parts
    precision, curves, recall = (
        figures[..., place, :]
        for figures in in_bins(run, ground_truth, detections, distinct)
    )
    return EvaluationResult(
        precision,
        curves,
        recall,
        thresholds,
        bins,
        tuple(max_dets),
        _count_objects(ground_truth, settings),
        ground_truth.category_names if settings.by_category else ['object'],
        extra,
    )


def _by_bin(
    run: Engine,
    ground_truth: GroundTruth,
    detections: Detections,
    settings: Settings,
) -> Tuple[np.ndarray, ...]:
    """Evaluate bin by bin, with objects of other sizes as crowds.

    Takes and returns what :func:`_in_parts` does.
    """
    parts = [
        _in_parts(
            run,
            with_outside_as_crowd(ground_truth, bin),
            detections,
            settings._replace(bins=[bin]),
        )
        for bin in settings.bins
    ]
    return tuple(np.concatenate(figures, -2) for figures in zip(*parts))


def _in_parts(
    run: Engine,
    ground_truth: GroundTruth,
    detections: Detections,
    settings: Settings,
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Evaluate a part of the categories at a time.

    Args:
        run (Callable): Function that evaluates with an engine.
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        settings (Settings): Settings of the evaluation.

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: Precision, curves and
        recall, as :class:`EvaluationResult` holds them.
    """
    categories = len(ground_truth.category_ids) if settings.by_category else 1
    thresholds = len(settings.thresholds)
    last = len(settings.bins), len(settings.max_dets)
    precision, recall = (
        np.full((thresholds, categories, *last), -1.0) for _ in range(2)
    )
    curve_sums = np.zeros((thresholds, 101, *last))
    curve_counts = np.zeros((thresholds, 1, *last), int)
    for part in _parts(ground_truth, detections, settings):
        in_part = ground_truth, detections
        if settings.by_category:
            in_part = of_categories(ground_truth, detections, part)
        every, recall[:, part] = run(*of_used_images(*in_part), settings)
        precision[:, part] = every.mean(1)
        curve_sums += np.where(every > -1, every, 0).sum(2)
        curve_counts += (every[:, :1] > -1).sum(2)
    curves = np.where(
        curve_counts, curve_sums / np.maximum(curve_counts, 1), -1
    )
    return precision, curves, recall


def _parts(
    ground_truth: GroundTruth, detections: Detections, settings: Settings
) -> Iterator[np.ndarray]:
    """Yield parts of the categories with objects, within the memory limits.

    Engines allocate tables of categories x bins x recalls, and of categories x
    images x bins.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        settings (Settings): Settings of the evaluation.

    Yields:
        np.ndarray: Indices of the categories of a part.
    """
    if not settings.by_category:
        if len(ground_truth.image):
            yield np.array([0])
        return
    bins, max_dets = len(settings.bins), len(settings.max_dets)
    objects, detected = (
        np.bincount(
            structure.category, minlength=len(ground_truth.category_ids)
        )
        for structure in (ground_truth, detections)
    )
    entries = objects + detected
    images = len(np.union1d(ground_truth.image, detections.image))
    part: List[int] = []
    used = 0
    for k in np.unique(ground_truth.category).tolist():
        used = min(images, used + entries[k])
        if part and (
            (len(part) + 1) * bins * max_dets > MOST_CURVES
            or (len(part) + 1) * used * bins > MOST_CELLS
        ):
            yield np.array(part)
            part, used = [], min(images, entries[k])
        part.append(k)
    if part:
        yield np.array(part)


def _count_objects(
    ground_truth: GroundTruth, settings: Settings
) -> np.ndarray:
    """Return numbers of objects by category and bin, without crowds."""
    counts = np.zeros(
        (len(ground_truth.category_ids), len(settings.bins)), int
    )
    for i, bin in enumerate(settings.bins):
        inside = is_counted(ground_truth, bin)
        counts[:, i] = np.bincount(
            ground_truth.category[inside], minlength=len(counts)
        )
    return counts if settings.by_category else counts.sum(0, keepdims=True)
