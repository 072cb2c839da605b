"""COCO metrics of detections, overall and by object size.

What is in which module:

- ``structures``: ground truth and detections as structures of arrays;
- ``annotation_files``, ``result_files``: readers of COCO's JSON and of result
  pickles, with the checks in ``entries``, ``masks``, ``checked_detections``,
  ``box_layout``; ids that are text get numbers in ``text_ids``;
- ``engines``: COCO's evaluation by one of three programs, each with a module
  such as ``native_engine``, whose ``evaluation_result`` is shown in
  ``tables``;
- ``protocols``: the evaluation of some data sets, by name, which needs
  ``protocol_labels`` of the annotation file;
- ``matching``, ``errors``: which detection hit which object, from a
  ``matching_input``, and kinds of errors;
- ``operating_points``, ``tide``, ``confusion``, ``diagnostics``: score
  thresholds, costs of errors, confused classes and calibration by size;
- ``bootstrap``, ``resampled_figures``, ``intervals``, ``comparison``:
  differences between two detectors, with intervals;
- ``native``: loops in C++; without a compiler, ``matching_turns``,
  ``weighted_curves``, ``overlaps`` and ``result_json`` do the same;
- ``image_groups``: videos, scenes or source images that are resampled as
  wholes;
- ``tiles``: results of tiles, merged into their source images;
- ``report``, ``plots``, ``pictures``: files and pictures of an evaluation or
  a comparison, and who draws them;
- ``apis``: ``sge_mmdet.evaluate`` and ``sge_mmdet.compare``, which take
  results of many forms by ``conversion`` and ``image_results``;
- ``small_object_metric``, ``legacy_coco_metric``: metrics for configs.
"""

from typing import TYPE_CHECKING, List

from ..utils.moved import moved
from .annotation_files import read_ground_truth
from .bins import SizeBin, parse_size_bins, size_bins
from .comparison import compare_detections, compare_figures
from .comparison_result import Comparison, Difference
from .diagnostics import Diagnostics, diagnose_detections
from .engines import evaluate
from .errors import ErrorBreakdown, break_down_errors
from .evaluation_result import EvaluationResult
from .image_groups import with_groups
from .operating_points import OperatingPoints, find_operating_points
from .resampled_figures import (
    ResampledFigures,
    resample_figures,
    resample_results,
)
from .result_files import read_detections
from .structures import Detections, GroundTruth
from .tables import class_table, size_table
from .tiles import Merging, Tiles, merge_tiles, read_tiles

if TYPE_CHECKING:
    from .legacy_coco_metric import LegacyCocoMetric
    from .small_object_metric import SmallObjectMetric

__all__ = [
    'Comparison',
    'Detections',
    'Diagnostics',
    'Difference',
    'ErrorBreakdown',
    'EvaluationResult',
    'GroundTruth',
    'LegacyCocoMetric',
    'Merging',
    'OperatingPoints',
    'ResampledFigures',
    'SizeBin',
    'SmallObjectMetric',
    'Tiles',
    'break_down_errors',
    'class_table',
    'compare_detections',
    'compare_figures',
    'diagnose_detections',
    'evaluate',
    'find_operating_points',
    'merge_tiles',
    'parse_size_bins',
    'read_detections',
    'read_ground_truth',
    'read_tiles',
    'resample_figures',
    'resample_results',
    'size_bins',
    'size_table',
    'with_groups',
]

__getattr__ = moved(
    __name__,
    {
        'Accumulated': 'sge_mmdet.evaluation.EvaluationResult',
        'Truth': 'sge_mmdet.evaluation.GroundTruth',
        'read_truth': 'sge_mmdet.evaluation.read_ground_truth',
    },
    # They need MMDetection.
    lazy=dict(
        LegacyCocoMetric='legacy_coco_metric',
        SmallObjectMetric='small_object_metric',
    ),
)


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
