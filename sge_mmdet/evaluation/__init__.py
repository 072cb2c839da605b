"""Detection results summarised as COCO does."""
from .legacy_coco_metric import LegacyCocoMetric
from .summary import DetectionSummary, summarize_detections

__all__ = ['DetectionSummary', 'LegacyCocoMetric', 'summarize_detections']
