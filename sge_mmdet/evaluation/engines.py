"""Average precision and recall, computed by hotcoco or pycocotools.

Both return the arrays of COCO's own evaluation and agree to 1e-10; hotcoco is
a hundred times faster.
"""

import contextlib
import importlib.util
import io
from dataclasses import dataclass, replace
from typing import (
    Any,
    Callable,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np

from .bins import SizeBin, with_all_sizes
from .structures import Detections, GroundTruth
from .subsets import of_categories, of_used_images

ENGINES = ('hotcoco', 'pycocotools')
COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10))
# Limits of the memory of an engine: numbers of curves (of 10 x 101 values,
# one per category, bin and max_dets) and of cells (categories x images x bins)
# that it computes at once. All of COCO is within them.
MOST_CURVES = 2_000
MOST_CELLS = 4_000_000


@dataclass(frozen=True)
class EvaluationResult:
    """Precision and recall of an evaluation.

    Attributes:
        precision: Mean precision over 101 recalls, of shape (thresholds,
            categories, bins, max_dets); -1 without objects.
        curves: Precision at each recall, averaged over the categories that
            have objects; shape (thresholds, 101, bins, max_dets).
        recall: Largest recall, of the same shape as ``precision``.
        thresholds: IoU thresholds.
        bins: Bins of object sizes; the first contains all sizes.
        max_dets: Largest numbers of detections per image and category.
        objects: Number of objects by category and bin, without crowds; shape
            (categories, bins).
        category_names: Names of the categories.
    """

    precision: np.ndarray
    curves: np.ndarray
    recall: np.ndarray
    thresholds: Tuple[float, ...]
    bins: List[SizeBin]
    max_dets: Tuple[int, ...]
    objects: np.ndarray
    category_names: List[str]

    def ap(
        self,
        iou: Optional[float] = None,
        size: str = 'all',
        category: Optional[int] = None,
        max_dets: Optional[int] = None,
    ) -> Optional[float]:
        """Return an average precision.

        Args:
            iou (float, optional): IoU threshold. Default: None, the mean over
                all thresholds.
            size (str): Name of a bin. Default: "all".
            category (int, optional): Index of a category. Default: None, the
                mean over all categories with such objects.
            max_dets (int, optional): Largest number of detections per image.
                Default: None, the largest one evaluated.

        Returns:
            float or None: Average precision in [0, 1]; None without objects.
        """
        t, a, m = self._at(iou, size, max_dets)
        k = slice(None) if category is None else [category]
        return _mean(self.precision[..., a, m][t][:, k])

    def ar(
        self,
        size: str = 'all',
        category: Optional[int] = None,
        max_dets: Optional[int] = None,
    ) -> Optional[float]:
        """Return the average recall; takes the arguments of :meth:`ap`."""
        _, a, m = self._at(None, size, max_dets)
        k = slice(None) if category is None else [category]
        return _mean(self.recall[..., a, m][:, k])

    def curve(self, iou: float, size: str) -> Optional[np.ndarray]:
        """Return the mean precision at 101 recalls; None without objects."""
        t, a, m = self._at(iou, size, None)
        values = self.curves[..., a, m][t][0]
        return values if values[0] > -1 else None

    def count(self, size: str = 'all', category: Optional[int] = None) -> int:
        """Return the number of objects of a size and category."""
        column = self.objects[:, self._names().index(size)]
        return int(column.sum() if category is None else column[category])

    def _names(self) -> 'List[str]':
        return [bin.name for bin in self.bins]

    def _at(
        self, iou: Optional[float], size: str, max_dets: Optional[int]
    ) -> tuple:
        t = slice(None) if iou is None else np.isclose(self.thresholds, iou)
        m = -1 if max_dets is None else self.max_dets.index(max_dets)
        return t, self._names().index(size), m


def default_engine() -> str:
    """Return "hotcoco" if it is installed, otherwise "pycocotools"."""
    return ENGINES[importlib.util.find_spec('hotcoco') is None]


def evaluate(
    ground_truth: GroundTruth,
    detections: Detections,
    bins: Sequence[SizeBin],
    metric: str = 'bbox',
    thresholds: Sequence[float] = COCO_THRESHOLDS,
    max_dets: Sequence[int] = (100,),
    engine: Optional[str] = None,
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
        engine (str, optional): Engine, "hotcoco" or "pycocotools". Default:
            None, hotcoco if it is installed.

    Raises:
        ValueError: If the engine or metric is unknown, or masks are evaluated
            but missing.
    """
    engine = engine or default_engine()
    if engine not in ENGINES:
        raise ValueError(
            f'engine is one of {", ".join(ENGINES)}, got {engine!r}'
        )
    if metric not in ('bbox', 'segm', 'proposal'):
        raise ValueError(
            f'metric is one of bbox, segm, proposal, got {metric!r}'
        )
    bins = with_all_sizes(bins)
    if metric == 'segm':
        # Masks are checked once, before an engine reads them.
        ground_truth = replace(ground_truth, segmentation=ground_truth.masks)
    run = _run_hotcoco if engine == 'hotcoco' else _run_pycocotools
    by_category = metric != 'proposal'
    precision, curves, recall = _in_parts(
        run, ground_truth, detections, bins, metric, thresholds, max_dets
    )
    return EvaluationResult(
        precision,
        curves,
        recall,
        tuple(thresholds),
        bins,
        tuple(max_dets),
        _count(ground_truth, bins, by_category),
        ground_truth.category_names if by_category else ['object'],
    )


def _in_parts(
    run: Callable[..., tuple],
    ground_truth: GroundTruth,
    detections: Detections,
    bins: Sequence[SizeBin],
    metric: str,
    thresholds: Sequence[float],
    max_dets: Sequence[int],
) -> tuple:
    """Return precision, curves and recall, computed in parts of categories."""
    is_proposal = metric == 'proposal'
    categories = 1 if is_proposal else len(ground_truth.category_ids)
    last = len(bins), len(max_dets)
    precision, recall = (
        np.full((len(thresholds), categories, *last), -1.0) for _ in range(2)
    )
    curves = np.zeros((len(thresholds), 101, *last))
    number = np.zeros((len(thresholds), 1, *last), int)
    for part in _parts(ground_truth, detections, *last):
        own = (
            (ground_truth, detections)
            if is_proposal
            else of_categories(ground_truth, detections, part)
        )
        rows = [0] if is_proposal else part
        every, recall[:, rows] = run(
            *of_used_images(*own), bins, metric, thresholds, max_dets
        )
        precision[:, rows] = every.mean(1)
        curves += np.where(every > -1, every, 0).sum(2)
        number += (every[:, :1] > -1).sum(2)
    curves = np.where(number, curves / np.maximum(number, 1), -1)
    return precision, curves, recall


def _parts(
    ground_truth: GroundTruth, detections: Detections, bins: int, max_dets: int
) -> Iterator[np.ndarray]:
    """Yield parts of the categories with objects, within the limits of memory.

    Engines allocate tables of categories x bins x recalls, and of categories x
    images x bins.
    """
    objects, found = (
        np.bincount(columns.category, minlength=len(ground_truth.category_ids))
        for columns in (ground_truth, detections)
    )
    entries = objects + found
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


def _count(
    ground_truth: GroundTruth, bins: Sequence[SizeBin], by_category: bool
) -> np.ndarray:
    counts = np.zeros((len(ground_truth.category_ids), len(bins)), int)
    for i, bin in enumerate(bins):
        inside = ~ground_truth.crowd & bin.holds(ground_truth.area)
        counts[:, i] = np.bincount(
            ground_truth.category[inside], minlength=len(counts)
        )
    return counts if by_category else counts.sum(0, keepdims=True)


def _run_pycocotools(
    ground_truth: GroundTruth,
    detections: Detections,
    bins: Sequence[SizeBin],
    metric: str,
    thresholds: Sequence[float],
    max_dets: Sequence[int],
) -> tuple:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for columns in ground_truth, detections:
            side = COCO()
            side.dataset = dict(
                images=_images(ground_truth),
                categories=_categories(ground_truth),
                annotations=_annotations(
                    ground_truth, columns, metric == 'segm'
                ),
            )
            side.createIndex()
            sides.append(side)
        run = COCOeval(*sides, 'segm' if metric == 'segm' else 'bbox')
        run.params.imgIds = ground_truth.image_ids.tolist()
        run.params.catIds = ground_truth.category_ids.tolist()
        run.params.useCats = int(metric != 'proposal')
        run.params.iouThrs = np.array(thresholds)
        run.params.maxDets = list(max_dets)
        run.params.areaRng = [list(bin.area) for bin in bins]
        run.params.areaRngLbl = [bin.name for bin in bins]
        run.evaluate()
        run.accumulate()
    return run.eval['precision'], run.eval['recall']


def _run_hotcoco(*args: Any) -> tuple:
    run = hotcoco_evaluation(*args)
    run.accumulate()
    return run.eval['precision'], run.eval['recall']


def hotcoco_evaluation(
    ground_truth: GroundTruth,
    detections: Detections,
    bins: Sequence[SizeBin],
    metric: str,
    thresholds: Sequence[float],
    max_dets: Sequence[int],
) -> Any:
    """Return hotcoco's ``COCOeval`` after evaluation; see :func:`evaluate`."""
    import hotcoco

    is_segm = metric == 'segm'
    ids = np.arange(1, len(ground_truth.image) + 1)
    gt = hotcoco.COCO.from_arrays(
        _images(ground_truth),
        _categories(ground_truth),
        ground_truth.image_ids[ground_truth.image],
        ground_truth.category_ids[ground_truth.category],
        ground_truth.box,
        ids=ids,
        area=ground_truth.area,
        iscrowd=ground_truth.crowd.astype(int),
        segmentation=ground_truth.segmentation if is_segm else None,
    )
    dt = hotcoco.COCO.from_arrays(
        _images(ground_truth),
        _categories(ground_truth),
        [],
        [],
        np.zeros((0, 4)),
    )
    if len(detections.image):
        dt = gt.load_res(
            np.column_stack(
                [
                    ground_truth.image_ids[detections.image],
                    detections.box,
                    detections.score,
                    ground_truth.category_ids[detections.category],
                ]
            ),
            segmentation=detections.segmentation if is_segm else None,
        )
        dt.update_anns(
            ids=np.arange(1, len(detections.image) + 1), area=detections.area
        )
    run = hotcoco.COCOeval(gt, dt, 'segm' if is_segm else 'bbox')
    run.params.img_ids = ground_truth.image_ids.tolist()
    run.params.cat_ids = ground_truth.category_ids.tolist()
    run.params.use_cats = metric != 'proposal'
    run.params.iou_thrs = [float(value) for value in thresholds]
    run.params.max_dets = list(max_dets)
    run.params.area_rng = [list(bin.area) for bin in bins]
    run.params.area_rng_lbl = [bin.name for bin in bins]
    run.evaluate()
    return run


def _images(ground_truth: GroundTruth) -> 'List[dict]':
    return [
        dict(id=int(key), height=int(height), width=int(width))
        for key, (height, width) in zip(
            ground_truth.image_ids, ground_truth.image_sizes
        )
    ]


def _categories(ground_truth: GroundTruth) -> 'List[dict]':
    return [
        dict(id=int(key), name=name)
        for key, name in zip(
            ground_truth.category_ids, ground_truth.category_names
        )
    ]


def _annotations(
    ground_truth: GroundTruth,
    columns: Union[GroundTruth, Detections],
    masks: bool,
) -> 'List[dict]':
    annotations = [
        dict(id=i, image_id=image, category_id=category, bbox=box, area=area)
        for i, (image, category, box, area) in enumerate(
            zip(
                ground_truth.image_ids[columns.image].tolist(),
                ground_truth.category_ids[columns.category].tolist(),
                columns.box.tolist(),
                columns.area.tolist(),
            ),
            start=1,
        )
    ]
    if masks:
        for annotation, mask in zip(annotations, columns.segmentation or ()):
            annotation['segmentation'] = mask
    if isinstance(columns, GroundTruth):
        for annotation, is_crowd in zip(annotations, columns.crowd.tolist()):
            annotation['iscrowd'] = int(is_crowd)
    else:
        for annotation, score in zip(annotations, columns.score.tolist()):
            annotation['iscrowd'] = 0
            annotation['score'] = score
    return annotations


def _mean(values: np.ndarray) -> Optional[float]:
    values = values[values > -1]
    return float(values.mean()) if values.size else None
