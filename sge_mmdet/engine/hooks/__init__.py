"""Hooks for MMEngine's runner."""

from .exact_resume import ExactResumeHook, find_whole_checkpoint
from .gate_visualization import SGEVisualizationHook
from .shared_start import SharedStartHook

__all__ = [
    'ExactResumeHook',
    'SGEVisualizationHook',
    'SharedStartHook',
    'find_whole_checkpoint',
]
