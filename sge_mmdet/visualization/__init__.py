"""Pictures of results."""
from .curves import draw_training_curves
from .detections import draw_detections

__all__ = ['draw_detections', 'draw_training_curves']
