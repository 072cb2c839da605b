"""Detection results summarised as COCO does, and by object size."""
from .columns import Detections, Truth, read_truth
from .comparison import Comparison, Difference, compare_detections
from .legacy_coco_metric import LegacyCocoMetric
from .result_files import read_detections
from .size_bins import SizeBin, parse_size_bins, size_bins
from .small_object_metric import SmallObjectMetric
from .summary import DetectionSummary, summarize_detections

__all__ = [
    'Comparison', 'DetectionSummary', 'Detections', 'Difference',
    'LegacyCocoMetric', 'SizeBin', 'SmallObjectMetric', 'Truth',
    'compare_detections', 'parse_size_bins', 'read_detections', 'read_truth',
    'size_bins', 'summarize_detections'
]
