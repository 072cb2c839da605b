"""MMDetection's CocoMetric with figures by object size, and faster."""

import inspect
import tempfile
import warnings
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

import numpy as np
from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.logging import MMLogger

from ..utils import printable_list
from ..utils.registration import register
from .annotation_files import (
    read_ground_truth,
    used_annotations,
)
from .bins import size_bins as make_size_bins
from .bins import with_all_sizes
from .checked_detections import (
    corners_to_sizes,
    make_detections,
    warn_of_missing_images,
)
from .engines import ENGINES, evaluate
from .evaluation_result import EvaluationResult
from .protocols import find_protocol
from .settings import check_choice, check_max_dets
from .structures import Detections, GroundTruth
from .tables import class_table

AREAS = ('annotation', 'box')
# CocoMetric's figures of average precision: (IoU, size, position in
# proposal_nums). The first figure is always at 100 detections, as in COCO.
AP_ITEMS = {
    'mAP': (None, 'all', None),
    'mAP_50': (0.5, 'all', 2),
    'mAP_75': (0.75, 'all', 2),
    'mAP_s': (None, 'small', 2),
    'mAP_m': (None, 'medium', 2),
    'mAP_l': (None, 'large', 2),
}
# CocoMetric's figures of average recall: (size, position in proposal_nums).
AR_ITEMS = {
    'AR@100': ('all', 0),
    'AR@300': ('all', 1),
    'AR@1000': ('all', 2),
    'AR_s@1000': ('small', 2),
    'AR_m@1000': ('medium', 2),
    'AR_l@1000': ('large', 2),
}


@register(METRICS)
class SmallObjectMetric(CocoMetric):
    """CocoMetric with average precision by object size.

    It logs all that ``CocoMetric`` logs, under the same keys with the same
    values. For each size it also logs ``bbox_mAP_<size>``,
    ``bbox_mAP_50_<size>``, ``bbox_AR_<size>`` and the number of objects
    ``bbox_num_<size>``, at ``max_dets`` detections per image and class; for
    the metrics "segm" and "proposal" they begin with ``segm_`` and
    ``proposal_``. With ``classwise`` they are logged for each class as well.
    Figures of a size without objects are -1. With another ``max_dets`` than
    100, the same figures are logged for the size "all".

    With ``protocol``, the figures by size follow the protocol of a data set,
    and what it has besides is logged too: ``bbox_mAP_25_<size>`` and
    ``bbox_oLRP`` for AI-TOD, ``bbox_APr`` for LVIS, ``bbox_AR@500`` for
    VisDrone. Where the protocol ignores other things than COCO does
    (VisDrone, TinyPerson, SODA, LVIS), ``bbox_mAP``, ``bbox_mAP_50`` and
    ``bbox_mAP_75`` are the protocol's, and CocoMetric's other figures are
    not logged.

    MMDetection's own ``mAP_s`` counts up to ``proposal_nums[2]`` (1000)
    detections per image. With at most 100 detections both are the same.

    Args:
        size_bins (str or Sequence[float]): "coco", "aitod", or limits of the
            sides in pixels; see :func:`size_bins`. Default: None, those of
            the protocol.
        area (str): Area that defines the size of an object: "annotation", the
            annotated area (of its mask), as in COCO, or "box". Default:
            "annotation".
        engine (str, optional): Engine, "native", "hotcoco" or
            "pycocotools". Default: None, the first of them that is there.
        max_dets (int, optional): Largest number of detections per image and
            class in the figures by size. Default: None, that of the
            protocol, which is 100 in COCO.
        protocol (str, optional): Protocol of a data set, as in
            :func:`sge_mmdet.evaluate`: "coco", "aitod", "aitod-v2",
            "visdrone", "tinyperson", "soda-d", "soda-a" or "lvis". Default:
            None, "aitod" if ``size_bins`` is "aitod", otherwise "coco".
        **kwargs: Arguments of ``CocoMetric``.

    Raises:
        TypeError: If an argument is that of another evaluator.
        ValueError: If an option has an unknown value.
    """

    # Set by CocoMetric, which is not annotated with types.
    _coco_api: Any
    cat_ids: Optional[List[int]]
    img_ids: Optional[List[int]]

    def __init__(
        self,
        size_bins: Optional[Union[str, Sequence[float]]] = None,
        area: str = 'annotation',
        engine: Optional[str] = None,
        max_dets: Optional[int] = None,
        protocol: Optional[str] = None,
        **kwargs: Any,
    ) -> None:
        check_choice('area', area, AREAS)
        check_choice('engine', engine, (None, *ENGINES))
        _check_arguments(kwargs)
        thresholds = kwargs.get('iou_thrs')
        if isinstance(thresholds, float):
            kwargs['iou_thrs'] = thresholds = [thresholds]
        self.protocol = find_protocol(protocol, size_bins).with_options(
            None if size_bins is None else make_size_bins(size_bins),
            None if max_dets is None else check_max_dets(max_dets),
            thresholds,
        )
        super().__init__(**kwargs)
        self.max_dets = self.protocol.counted
        self.bins = self.protocol.bins
        self.area = area
        self.engine = engine
        for item in self.metric_items or ():
            if item not in {**AP_ITEMS, **AR_ITEMS}:
                raise KeyError(
                    'expected metric_items to be some of '
                    f'{", ".join([*AP_ITEMS, *AR_ITEMS])}, got {item!r}'
                )

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the detections of some images.

        Args:
            data_batch (dict): A batch of data. It is not used.
            data_samples (Sequence[dict]): Detections of each image.

        Raises:
            KeyError: If a sample has no detections, such as a caption, a
                segmentation or a video.
        """
        for sample in data_samples:
            if 'pred_instances' not in sample:
                raise KeyError(
                    'SmallObjectMetric evaluates the detections of images, '
                    '"pred_instances", which this result does not have; keep '
                    'the evaluator of the config, because it evaluates '
                    'something else'
                )
        super().process(data_batch, data_samples)

    def compute_metrics(self, results: list) -> Dict[str, float]:
        """Compute the figures of all images.

        Args:
            results (list): Results of :meth:`process`, one per image.

        Returns:
            dict[str, float]: Figures by name.
        """
        logger = MMLogger.get_current_instance()
        if not (self.dataset_meta or {}).get('classes'):
            raise ValueError(
                'SmallObjectMetric needs the classes of the data set, '
                '"classes" in its metainfo; data sets of phrases and '
                'expressions have none, so keep their own evaluator'
            )
        gts, preds = zip(*results)
        self._load_ground_truth(gts)
        if self.outfile_prefix is not None:
            self.results2json(preds, self.outfile_prefix)
        figures: Dict[str, float] = OrderedDict()
        if self.format_only:
            logger.info(
                f'results are saved in {Path(self.outfile_prefix).parent}'
            )
            return figures
        data = used_annotations(self._coco_api.dataset)
        ground_truth = replace(
            read_ground_truth(data, self.dataset_meta['classes']), lenient=True
        )
        images = ground_truth.text_ids.image_numbers(
            [pred['img_id'] for pred in preds], 'The test'
        )
        warn_of_missing_images(ground_truth, len({*images}), 'The test')
        for metric in self.metrics:
            logger.info(f'Evaluating {metric}...')
            if metric == 'proposal_fast':
                recalls = self.fast_eval_recall(
                    preds, self.proposal_nums, self.iou_thrs, logger=logger
                )
                figures.update(
                    (f'AR@{number}', recall)
                    for number, recall in zip(self.proposal_nums, recalls)
                )
                continue
            detections = self._make_detections(
                preds, images, ground_truth, metric
            )
            if self.protocol.has_coco_rules:
                figures.update(
                    self._upstream_figures(metric, ground_truth, detections)
                )
            figures.update(
                self._size_figures(metric, ground_truth, detections, logger)
            )
        return figures

    def _load_ground_truth(self, gts: Sequence[dict]) -> None:
        """Load the ground truth if it comes with the images."""
        if self._coco_api is None:
            with tempfile.TemporaryDirectory() as folder:
                self._coco_api = COCO(
                    self.gt_to_coco_json(
                        gt_dicts=gts, outfile_prefix=str(Path(folder) / 'gt')
                    )
                )
        if self.cat_ids is None:
            self.cat_ids = self._coco_api.get_cat_ids(
                cat_names=self.dataset_meta['classes']
            )
        if self.img_ids is None:
            self.img_ids = self._coco_api.get_img_ids()

    def _make_detections(
        self,
        preds: Sequence[dict],
        images: Sequence[int],
        ground_truth: GroundTruth,
        metric: str,
    ) -> Detections:
        """Return the detections of all images, without those not finite.

        Args:
            preds (Sequence[dict]): Predictions, one per image.
            images (Sequence[int]): Ids of their images in ``ground_truth``.
            ground_truth (GroundTruth): The ground truth.
            metric (str): Metric to evaluate.
        """
        scores, masks = 'scores', None
        if metric == 'segm':
            masks = [mask for pred in preds for mask in pred['masks']]
            if all('mask_scores' in pred for pred in preds):
                scores = 'mask_scores'
        labels = np.concatenate([pred['labels'] for pred in preds])
        categories = ground_truth.text_ids.category_numbers(
            self.cat_ids or [], 'The test'
        )
        return make_detections(
            ground_truth,
            np.repeat(images, [len(pred['labels']) for pred in preds]),
            np.array(categories)[labels.astype(int)],
            corners_to_sizes([pred['bboxes'] for pred in preds]),
            np.concatenate([pred[scores] for pred in preds]),
            masks,
            name=f'The {metric} result',
            lenient=True,
        )

    def _upstream_figures(
        self, metric: str, ground_truth: GroundTruth, detections: Detections
    ) -> Dict[str, float]:
        """Return the figures that CocoMetric logs, by name."""
        result = evaluate(
            ground_truth,
            detections,
            make_size_bins('coco'),
            metric,
            self.iou_thrs,
            self.proposal_nums,
            self.engine,
        )
        figures: Dict[str, float] = OrderedDict()
        is_proposal = metric == 'proposal'
        if self.classwise and not is_proposal:
            for k, name in enumerate(result.category_names):
                ap = result.ap(category=k)
                figures[f'{name}_precision'] = round(
                    np.float64(np.nan if ap is None else ap), 3
                )
        for item in self.metric_items or (
            AR_ITEMS if is_proposal else AP_ITEMS
        ):
            value = self._upstream_figure(result, item)
            figures[item if is_proposal else f'{metric}_{item}'] = float(
                f'{value:.3f}' if is_proposal else f'{round(value, 3)}'
            )
        return figures

    def _upstream_figure(self, result: EvaluationResult, item: str) -> float:
        """Return one of CocoMetric's figures; -1 if it does not exist."""
        numbers = self.proposal_nums
        value = None
        if item in AR_ITEMS:
            size, index = AR_ITEMS[item]
            if index < len(numbers):
                value = result.ar(size, max_dets=numbers[index])
        else:
            iou, size, position = AP_ITEMS[item]
            last = len(numbers) - 1
            # With use_mp_eval, CocoMetric's figures are at the last number.
            if self.use_mp_eval:
                position = last
            number = 100 if position is None else numbers[min(position, last)]
            if number in numbers and (iou is None or iou in self.iou_thrs):
                value = result.ap(iou, size, max_dets=number)
        return np.float64(-1 if value is None else value)

    def _size_figures(
        self,
        metric: str,
        ground_truth: GroundTruth,
        detections: Detections,
        logger: MMLogger,
    ) -> Dict[str, float]:
        """Return the figures by size, and log them as tables."""
        if self.area == 'box':
            ground_truth = ground_truth.with_box_areas()
        prepared = self.protocol.prepare(ground_truth, detections, metric)
        result = self.protocol.evaluate(*prepared, metric, self.engine)
        logger.info(f'{metric} by object size:\n{result}')
        self._report_empty_sizes(result, metric, logger)
        figures = self._sizes_of_class(result, metric)
        if not self.protocol.has_coco_rules:
            figures.update(self._headline(result, metric))
        figures.update(
            (f'{metric}_{key}', -1.0 if value is None else round(value, 3))
            for key, value in result.figures.items()
        )
        if self.classwise and metric != 'proposal':
            logger.info(f'{metric} by class:\n{class_table(result).text()}')
            for k, name in enumerate(result.category_names):
                figures.update(
                    self._sizes_of_class(result, f'{metric}_{name}', k)
                )
        return figures

    def _headline(
        self, result: EvaluationResult, metric: str
    ) -> Dict[str, float]:
        """Return the protocol's AP under the keys of CocoMetric's."""
        values = {
            f'{metric}_mAP': result.ap(),
            f'{metric}_mAP_50': result.ap(0.5),
            f'{metric}_mAP_75': result.ap(0.75),
        }
        return {
            key: -1.0 if value is None else round(value, 3)
            for key, value in values.items()
        }

    def _shown_thresholds(self, result: EvaluationResult) -> List[float]:
        """Return the IoU thresholds whose AP by size is logged."""
        if self.protocol.name == 'coco':
            return [*result.extra_thresholds, 0.5]
        return sorted({*result.extra_thresholds, 0.25, 0.5, 0.75})

    def _report_empty_sizes(
        self, result: EvaluationResult, metric: str, logger: MMLogger
    ) -> None:
        """Log or warn of sizes without objects, whose figures are -1.

        Many data sets have no objects of the largest sizes, which is logged.
        An empty size below the largest object, or no object of any size,
        hints at limits that do not suit the data, so it is a warning.
        """
        counts = [result.count(bin.name) for bin in self.bins]
        used = max((k for k, count in enumerate(counts) if count), default=-1)
        empty = [
            (k, bin.name) for k, bin in enumerate(self.bins) if not counts[k]
        ]
        above = [name for k, name in empty if k > used >= 0]
        others = [name for _, name in empty if name not in above]
        message = (
            'The ground truth has no objects of the size {}; figures such as '
            '{}_mAP_{} are -1'
        )
        if above:
            logger.info(message.format(' or '.join(above), metric, above[0]))
        if others:
            warnings.warn(
                message.format(' or '.join(others), metric, others[0]),
                stacklevel=2,
            )

    def _sizes_of_class(
        self,
        result: EvaluationResult,
        prefix: str,
        category: Optional[int] = None,
    ) -> Dict[str, float]:
        """Return the figures by size of one class, or of all together.

        Args:
            result (EvaluationResult): The evaluation.
            prefix (str): Beginning of the figures' names.
            category (int, optional): Index of the class. Default: None, all
                classes together.
        """
        figures: Dict[str, float] = OrderedDict()
        # At 100 detections, the figures of all sizes are CocoMetric's.
        bins = self.bins if self.max_dets == 100 else with_all_sizes(self.bins)
        for bin in bins:
            size = bin.name
            values = {f'{prefix}_mAP_{size}': result.ap(None, size, category)}
            for iou in self._shown_thresholds(result):
                if iou in result.thresholds:
                    values[f'{prefix}_mAP_{100 * iou:.0f}_{size}'] = result.ap(
                        iou, size, category
                    )
            values[f'{prefix}_AR_{size}'] = result.ar(size, category)
            figures.update(
                (key, -1.0 if value is None else round(value, 3))
                for key, value in values.items()
            )
            figures[f'{prefix}_num_{size}'] = result.count(size, category)
        return figures


def _check_arguments(kwargs: Dict[str, Any]) -> None:
    """Raise if arguments are those of another evaluator.

    Args:
        kwargs (dict): Arguments for ``CocoMetric``.

    Raises:
        TypeError: If ``CocoMetric`` does not have them.
    """
    known = inspect.signature(CocoMetric).parameters
    unknown = [name for name in kwargs if name not in known]
    if unknown:
        raise TypeError(
            f'SmallObjectMetric has no argument {printable_list(unknown)}. It '
            'takes the place of CocoMetric and LVISMetric and has their '
            f'arguments ({", ".join(known)}); an evaluator with others '
            'measures something else, so keep it beside this one'
        )
