"""Pictures of results."""
from .comparison import draw_comparison
from .curves import draw_training_curves
from .detections import draw_detections

__all__ = ['draw_comparison', 'draw_detections', 'draw_training_curves']
