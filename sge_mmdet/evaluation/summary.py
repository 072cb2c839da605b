"""COCO's average precision and the number of objects behind each figure."""
import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Union

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ..utils import load_json

# COCO's own sizes: limits of the annotated (mask) area in pixels.
SIZES = {'all': 'all sizes', 'small': 'area < 32^2',
         'medium': '32^2 to 96^2', 'large': 'area > 96^2'}


@dataclass(frozen=True)
class Metric:
    """One figure.

    Args:
        name: Such as "AP_small".
        iou: Thresholds of intersection over union it is averaged over.
        size: Which objects it is about, a key of :data:`SIZES`.
        objects: How many objects of that size the ground truth has.
        value: In [0, 1]; None where there is no such object.
    """

    name: str
    iou: str
    size: str
    objects: int
    value: Optional[float]


@dataclass(frozen=True)
class DetectionSummary:
    """Average precision of a result file.

    Args:
        metrics: AP, AP50, AP75 and AP by object size, of at most 100
            detections an image.
        images: Number of images.
        detections: Number of detections.
    """

    metrics: List[Metric]
    images: int
    detections: int

    def __getitem__(self, name: str) -> Optional[float]:
        """Return the value of the metric of a name."""
        return {metric.name: metric.value for metric in self.metrics}[name]

    def table(self) -> str:
        """Return the summary as text, a line each metric."""
        lines = [f'{"metric":<10} {"IoU":<10} {"objects":<14} '
                 f'{"number":>7} {"value":>7}']
        lines.append('-' * len(lines[0]))
        for metric in self.metrics:
            value = 'n/a' if metric.value is None else f'{metric.value:.3f}'
            lines.append(f'{metric.name:<10} {metric.iou:<10} '
                         f'{SIZES[metric.size]:<14} {metric.objects:>7} '
                         f'{value:>7}')
        lines.append(f'{self.detections} detections in {self.images} images, '
                     'at most 100 an image counted')
        return '\n'.join(lines)


def summarize_detections(annotation_file: Union[str, Path],
                         result_file: Union[str, Path]) -> DetectionSummary:
    """Evaluate boxes as COCO does.

    Args:
        annotation_file (str or Path): Ground truth in COCO format.
        result_file (str or Path): Detections in COCO's result format, as
            MMDetection's ``outfile_prefix`` writes them (``*.bbox.json``).

    Returns:
        DetectionSummary: AP, AP50, AP75, AP_small, AP_medium and AP_large.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a file is not JSON or not of the format.
    """
    annotations, results = load_json(annotation_file), load_json(result_file)
    _check_format(annotation_file, annotations, result_file, results)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = _evaluate(annotations, results)
    precision = evaluation.eval['precision']
    counts = _count_objects(annotations, evaluation.params)
    metrics = []
    for name, iou, size in (('AP', None, 'all'), ('AP50', 0.5, 'all'),
                            ('AP75', 0.75, 'all'), ('AP_small', None, 'small'),
                            ('AP_medium', None, 'medium'),
                            ('AP_large', None, 'large')):
        thresholds = slice(None) if iou is None else (
            abs(evaluation.params.iouThrs - iou) < 1e-9)
        values = precision[thresholds, ..., list(SIZES).index(size), -1]
        values = values[values > -1]
        value = float(values.mean()) if len(values) else None
        iou_text = '0.50:0.95' if iou is None else f'{iou:.2f}'
        metrics.append(Metric(name, iou_text, size, counts[size], value))
    return DetectionSummary(metrics, len(annotations['images']), len(results))


def _check_format(annotation_file: Union[str, Path], annotations: object,
                  result_file: Union[str, Path], results: object) -> None:
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(annotations, dict) or key not in annotations:
            raise ValueError(f'{annotation_file} is not a COCO annotation '
                             f'file: it has no "{key}"')
    if not isinstance(results, list):
        raise ValueError(f'{result_file} is not a COCO result file: a list of '
                         'detections')
    images = {image['id'] for image in annotations['images']}
    for i, result in enumerate(results):
        for key in ('image_id', 'category_id', 'bbox', 'score'):
            if not isinstance(result, dict) or key not in result:
                raise ValueError(f'{result_file} is not a COCO result file: '
                                 f'detection {i} has no "{key}"')
        if result['image_id'] not in images:
            raise ValueError(f'{result_file} is not of {annotation_file}: '
                             f'detection {i} is in image '
                             f'{result["image_id"]!r}, which that lacks')


def _evaluate(annotations: dict, results: list) -> COCOeval:
    truth = COCO()
    truth.dataset = annotations
    truth.createIndex()
    if results:
        detections = truth.loadRes(results)
    else:
        # loadRes looks at the first result; there is none.
        detections = COCO()
        detections.dataset = dict(annotations, annotations=[])
        detections.createIndex()
    evaluation = COCOeval(truth, detections, 'bbox')
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def _count_objects(annotations: dict, params: object) -> 'dict[str, int]':
    areas = [annotation['area'] for annotation in annotations['annotations']
             if not annotation.get('iscrowd', 0)]
    return {
        size: sum(low <= area <= high for area in areas)
        for size, (low, high) in zip(params.areaRngLbl, params.areaRng)
    }
