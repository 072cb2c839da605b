"""Checkpoints of MMEngine, loaded without running any code that they hold."""

from .loading import allow_mmengine_checkpoints, load_local_checkpoint

__all__ = ['allow_mmengine_checkpoints', 'load_local_checkpoint']
