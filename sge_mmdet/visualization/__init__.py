"""Pictures of results."""
from .comparison import draw_comparison
from .curves import draw_training_curves
from .detections import draw_detections
from .sizes import (
    draw_ap_by_size,
    draw_class_bars,
    draw_errors,
    draw_missed,
    draw_precision_recall,
)

__all__ = [
    'draw_ap_by_size', 'draw_class_bars', 'draw_comparison',
    'draw_detections', 'draw_errors', 'draw_missed', 'draw_precision_recall',
    'draw_training_curves'
]
