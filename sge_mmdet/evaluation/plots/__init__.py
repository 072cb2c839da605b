"""Pictures of an evaluation and of a comparison."""

from .comparison import draw_comparison, draw_difference
from .detections import draw_detections
from .diagnostics import (
    draw_calibration,
    draw_confusion,
    draw_error_costs,
    draw_operating_points,
)
from .errors import draw_errors, draw_missed
from .sizes import draw_ap_by_size, draw_class_bars, draw_precision_recall

__all__ = [
    'draw_ap_by_size',
    'draw_calibration',
    'draw_class_bars',
    'draw_comparison',
    'draw_confusion',
    'draw_detections',
    'draw_difference',
    'draw_error_costs',
    'draw_errors',
    'draw_missed',
    'draw_operating_points',
    'draw_precision_recall',
]
