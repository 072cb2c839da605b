"""Detection results summarised as COCO does, and by object size."""
from .bins import SizeBin, parse_size_bins, size_bins
from .columns import Detections, Truth, read_truth
from .comparison import (
    Comparison,
    Difference,
    ResampledFigures,
    compare_detections,
    compare_figures,
    resample_figures,
)
from .engines import Accumulated, evaluate
from .errors import ErrorBreakdown, break_down_errors
from .legacy_coco_metric import LegacyCocoMetric
from .options import add_size_options, read_sized_truth
from .result_files import read_detections
from .size_report import class_table, size_table
from .small_object_metric import SmallObjectMetric

__all__ = [
    'Accumulated', 'Comparison', 'Detections', 'Difference', 'ErrorBreakdown',
    'LegacyCocoMetric', 'ResampledFigures', 'SizeBin', 'SmallObjectMetric',
    'Truth', 'add_size_options', 'break_down_errors', 'class_table',
    'compare_detections', 'compare_figures', 'evaluate', 'parse_size_bins',
    'read_detections', 'read_sized_truth', 'read_truth', 'resample_figures',
    'size_bins', 'size_table'
]
