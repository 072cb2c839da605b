"""Pictures of an evaluation and of a comparison."""

from .comparison import draw_comparison, draw_difference
from .detections import draw_detections
from .errors import draw_errors, draw_missed
from .sizes import draw_ap_by_size, draw_class_bars, draw_precision_recall

__all__ = [
    'draw_ap_by_size',
    'draw_class_bars',
    'draw_comparison',
    'draw_detections',
    'draw_difference',
    'draw_errors',
    'draw_missed',
    'draw_precision_recall',
]
