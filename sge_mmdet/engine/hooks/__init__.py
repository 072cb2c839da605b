"""Hooks for MMEngine's runner."""

from .exact_resume import ExactResumeHook, find_whole_checkpoint
from .gate_visualization import SGEVisualizationHook

__all__ = ['ExactResumeHook', 'SGEVisualizationHook', 'find_whole_checkpoint']
