"""Pictures of results."""
from .comparison import draw_comparison
from .curves import draw_training_curves
from .detections import draw_detections
from .gates import (
    GateMaps,
    draw_gates,
    draw_similarity_histogram,
    recorded_gates,
)
from .sizes import (
    draw_ap_by_size,
    draw_class_bars,
    draw_errors,
    draw_missed,
    draw_precision_recall,
)
from .study import draw_study, draw_study_curves

__all__ = [
    'GateMaps', 'draw_ap_by_size', 'draw_class_bars', 'draw_comparison',
    'draw_detections', 'draw_errors', 'draw_gates', 'draw_missed',
    'draw_precision_recall', 'draw_similarity_histogram',
    'draw_study', 'draw_study_curves', 'draw_training_curves',
    'recorded_gates'
]
