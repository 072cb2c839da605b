"""Evaluation and comparison in one call, from results of many forms."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Optional, Sequence, Tuple, Union

from .comparison import compare_detections
from .comparison_result import Comparison
from .conversion import as_bins, as_detections, as_ground_truth, as_results
from .diagnostics import diagnose_detections
from .evaluation_result import EvaluationResult
from .interactive import Gallery, Report, compared_report
from .protocols import Protocol, find_protocol
from .report import report_evaluation
from .settings import check_max_dets


def evaluate(
    ground_truth: Any,
    results: Any,
    sizes: Any = None,
    metric: str = 'bbox',
    *,
    protocol: Optional[str] = None,
    categories: Optional[Union[str, Sequence[str]]] = None,
    in_label_order: bool = False,
    max_dets: Optional[Union[int, Sequence[int]]] = None,
    **options: Any,
) -> EvaluationResult:
    """Evaluate detections as COCO does, for objects of several sizes.

    Results are taken in these forms:

    - the path of a JSON file in COCO's result format, or of a pickle of
      ``tools/test.py --out``;
    - a list of detections as in such a JSON file, pycocotools' ``COCO``, or
      its array of rows (image_id, x, y, width, height, score, category_id);
    - a list of MMDetection's results: ``DetDataSample``, or dicts as in a
      pickle;
    - a dict from image ids or file names to the detections of each image, or
      a list of them in the order of the images of the ground truth:
      supervision's ``Detections``, torchvision's ``dict(boxes=...,
      scores=..., labels=...)``, arrays of rows (x1, y1, x2, y2, score,
      label), or in a dict also MMDetection's results;
    - :class:`~sge_mmdet.evaluation.Detections`.

    Args:
        ground_truth (Any): Path of a COCO annotation file in JSON, its content
            as a dict, pycocotools' ``COCO``, or
            :class:`~sge_mmdet.evaluation.GroundTruth`.
        results (Any): Results of a detector, in one of the forms above.
        sizes (str or Sequence): Bins of object sizes: "coco", "aitod", limits
            of the sides in pixels such as ``[0, 16, 32, inf]``, or a list of
            :class:`~sge_mmdet.evaluation.SizeBin`. Default: None, those of
            the protocol.
        metric (str): Metric: "bbox", "segm", or "proposal", which ignores
            categories. Default: "bbox".
        protocol (str, optional): Protocol, a key of
            :data:`sge_mmdet.evaluation.protocols.PROTOCOLS`: "coco", "aitod",
            "aitod-v2", "visdrone", "tinyperson", "soda-d", "soda-a" or
            "lvis". Default: None, "aitod" if ``sizes`` is "aitod", otherwise
            "coco".
        categories (str or Sequence[str], optional): Names of the detector's
            classes, or "all"; the labels of supervision, torchvision and
            arrays are then positions among them. Default: None, these labels
            are ids of categories.
        in_label_order (bool): Whether labels are positions in ``categories``.
            Default: False, positions among these categories in the order of
            the annotation file, as in MMDetection.
        max_dets (int or Sequence[int], optional): Largest number of
            detections per image and class. Default: None, the numbers of the
            protocol, which is 100 in COCO.
        **options (Any): ``thresholds``, ``engine`` and ``extra_thresholds`` of
            :func:`sge_mmdet.evaluation.evaluate`; ``bins`` is another name of
            ``sizes``. ``diagnose``, whether to add operating points, costs of
            errors, calibration and confusions by size as
            ``result.diagnostics`` (default: False).

    Returns:
        EvaluationResult: Precision and recall. It is printed as a table, and
        ``to_dataframe()`` returns it for pandas.

    Raises:
        FileNotFoundError: If a file does not exist.
        TypeError: If ground truth or results have none of these forms.
        ValueError: If they are wrong or do not belong to each other, or an
            option has an unknown value.
    """
    sizes = options.pop('bins', sizes)
    diagnose = options.pop('diagnose', False)
    rules = _protocol(
        protocol, sizes, max_dets, options.pop('thresholds', None)
    )
    if 'extra_thresholds' in options:
        extra = tuple(options.pop('extra_thresholds'))
        rules = replace(rules, extra_thresholds=extra)
    truth = as_ground_truth(ground_truth, categories, in_label_order)
    detections = as_detections(results, truth, metric)
    prepared = rules.prepare(truth, detections, metric)
    result = rules.evaluate(*prepared, metric, **options)
    if not diagnose:
        return result
    return replace(
        result,
        diagnostics=diagnose_detections(
            *prepared, list(rules.bins), metric, rules.counted
        ),
    )


def compare(
    ground_truth: Any,
    a: Any,
    b: Any,
    sizes: Any = None,
    metric: str = 'bbox',
    *,
    protocol: Optional[str] = None,
    categories: Optional[Union[str, Sequence[str]]] = None,
    in_label_order: bool = False,
    **options: Any,
) -> Comparison:
    """Compare two detectors by a paired bootstrap over images.

    Args:
        ground_truth (Any): Ground truth, as in :func:`evaluate`.
        a (Any): Results of the first detector, in a form that
            :func:`evaluate` takes. Several results are a list of such forms,
            or a dict of them by training seed.
        b (Any): Results of the second detector, in the same forms. Dicts with
            the same seeds are paired by seed.
        sizes (str or Sequence): Bins of object sizes, as in :func:`evaluate`.
            Default: None, those of the protocol.
        metric (str): Metric, "bbox" or "segm". Default: "bbox".
        protocol (str, optional): Protocol, as in :func:`evaluate`. Default:
            None.
        categories (str or Sequence[str], optional): Names of the detectors'
            classes, as in :func:`evaluate`. Default: None.
        in_label_order (bool): Whether labels are positions in ``categories``.
            Default: False.
        **options (Any): ``max_dets``, the largest number of detections per
            image and class (default: that of the protocol, which is 100 in
            COCO), and arguments of :func:`compare_detections`: ``names``,
            the names of the detectors (default: ("A", "B")); ``resamples``,
            the number of resamples (default: 1000); ``seed``, the seed of the
            resampling (default: 0).

    Returns:
        Comparison: Differences with their intervals. It is printed as a table
        with a verdict, and ``to_dataframe()`` returns it for pandas.

    Raises:
        FileNotFoundError, TypeError or ValueError: As :func:`evaluate`, or if
            there is nothing to compare.
    """
    number = options.pop('max_dets', None)
    rules = _protocol(
        protocol, sizes, None if number is None else check_max_dets(number)
    )
    truth = as_ground_truth(ground_truth, categories, in_label_order)
    first, second = (
        as_results(results, truth, metric, f'The result of {name}')
        for name, results in zip('ab', (a, b))
    )
    return compare_detections(
        truth,
        first,
        second,
        rules.bins,
        metric=metric,
        protocol=rules,
        **options,
    )


def report(
    ground_truth: Any,
    results: Any,
    other: Any = None,
    images: Optional[Union[str, Path]] = None,
    *,
    names: Tuple[str, str] = ('A', 'B'),
    score: Optional[float] = None,
    beside: Union[str, Path] = '.',
    **options: Any,
) -> Report:
    """Return a page in which results can be explored, or two be compared.

    A notebook shows it; ``report(...).write('report.html')`` writes it as one
    file that needs no server and no network.

    Args:
        ground_truth (Any): Ground truth, as in :func:`evaluate`.
        results (Any): Results of a detector, in a form that :func:`evaluate`
            takes.
        other (Any): Results of a second detector, to be compared with the
            first one. Default: None.
        images (str or Path, optional): Folder of the images. Default: None,
            without pictures.
        names (tuple[str, str]): Names of the detectors. Default: ("A", "B").
        score (float, optional): Score threshold that the page begins with.
            Default: None, the one with the highest F1 for one detector, and
            0.3 for two.
        beside (str or Path): Folder that the page will lie in, since it links
            to the images. Default: ".".
        **options (Any): Further arguments of :func:`evaluate`, or with two
            results of :func:`compare`.

    Returns:
        Report: The page.

    Raises:
        FileNotFoundError, TypeError or ValueError: As :func:`evaluate`, or if
            the metric is "proposal", which has no classes to show.
        ImportError: If plotly is not installed.
    """
    sizes = options.setdefault('sizes', options.pop('bins', None))
    metric = options.get('metric', 'bbox')
    if metric == 'proposal':
        raise ValueError(
            'expected the metric of a report to be "bbox" or "segm", got '
            '"proposal", which has no classes; sge_mmdet.evaluate takes it'
        )
    rules = _protocol(options.get('protocol'), sizes, options.get('max_dets'))
    truth = as_ground_truth(
        ground_truth,
        options.pop('categories', None),
        options.pop('in_label_order', False),
    )
    gallery = Gallery(images, beside=beside)
    first = as_detections(results, truth, metric)
    if other is None:
        result = evaluate(truth, first, **options)
        truth, first = rules.prepare(truth, first, metric)
        return report_evaluation(
            truth, first, result, metric, score, name=names[0]
        ).page(gallery)
    second = as_detections(other, truth, metric)
    comparison = compare(truth, first, second, names=names, **options)
    truth, prepared = rules.prepare_results(truth, (first, second), metric)
    return compared_report(
        truth,
        prepared,
        comparison,
        rules.bins,
        metric,
        rules.counted,
        0.3 if score is None else score,
        gallery,
    )


def _protocol(
    name: Optional[str],
    sizes: Any,
    max_dets: Optional[Union[int, Sequence[int]]],
    thresholds: Optional[Sequence[float]] = None,
) -> Protocol:
    """Return the protocol of some arguments of :func:`evaluate`."""
    rules = find_protocol(name, sizes).with_options(
        None if sizes is None else as_bins(sizes), thresholds=thresholds
    )
    if max_dets is None or isinstance(max_dets, (int, str)):
        number = None if max_dets is None else check_max_dets(max_dets)
        return rules.with_options(max_dets=number)
    return replace(rules, max_dets=tuple(max_dets), ap_max_dets=None)
