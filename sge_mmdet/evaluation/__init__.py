"""Detection results summarised as COCO does, and by object size."""
from .comparison import Comparison, Difference, compare_detections
from .legacy_coco_metric import LegacyCocoMetric
from .size_bins import SizeBin, size_bins
from .small_object_metric import SmallObjectMetric
from .summary import DetectionSummary, summarize_detections

__all__ = [
    'Comparison', 'DetectionSummary', 'Difference', 'LegacyCocoMetric',
    'SizeBin', 'SmallObjectMetric', 'compare_detections', 'size_bins',
    'summarize_detections'
]
