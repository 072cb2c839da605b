"""Detection results summarised as COCO does."""
from .summary import DetectionSummary, summarize_detections

__all__ = ['DetectionSummary', 'summarize_detections']
