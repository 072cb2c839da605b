"""Detection results summarised as COCO does, and by object size."""
from .columns import Detections, Truth, read_truth
from .comparison import Comparison, Difference, compare_detections
from .engines import Accumulated, evaluate
from .errors import ErrorBreakdown, break_down_errors
from .legacy_coco_metric import LegacyCocoMetric
from .result_files import read_detections
from .size_bins import SizeBin, parse_size_bins, size_bins
from .size_report import class_table, size_table
from .small_object_metric import SmallObjectMetric
from .summary import DetectionSummary, summarize_detections

__all__ = [
    'Accumulated', 'Comparison', 'DetectionSummary', 'Detections',
    'Difference', 'ErrorBreakdown', 'LegacyCocoMetric', 'SizeBin',
    'SmallObjectMetric', 'Truth', 'break_down_errors', 'class_table',
    'compare_detections', 'evaluate', 'parse_size_bins', 'read_detections',
    'read_truth', 'size_bins', 'size_table', 'summarize_detections'
]
