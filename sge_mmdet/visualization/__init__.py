"""Pictures of results."""
from .comparison import draw_comparison
from .curves import draw_training_curves
from .detections import draw_detections
from .gates import (
    GateMaps,
    choose_layers,
    gates_figure,
    look_at_gates,
    recorded_gates,
    similarity_figure,
)
from .hook import SGEVisualizationHook
from .sizes import (
    draw_ap_by_size,
    draw_class_bars,
    draw_errors,
    draw_missed,
    draw_precision_recall,
)
from .study import draw_study, draw_study_curves

__all__ = [
    'GateMaps', 'SGEVisualizationHook', 'choose_layers', 'draw_ap_by_size',
    'draw_class_bars', 'draw_comparison', 'draw_detections', 'draw_errors',
    'draw_missed', 'draw_precision_recall', 'draw_study', 'draw_study_curves',
    'draw_training_curves', 'gates_figure', 'look_at_gates', 'recorded_gates',
    'similarity_figure'
]
