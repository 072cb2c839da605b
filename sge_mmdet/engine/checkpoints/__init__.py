"""Loading of MMEngine's checkpoints without running code in them."""

from .loading import allow_mmengine_checkpoints, load_local_checkpoint

__all__ = ['allow_mmengine_checkpoints', 'load_local_checkpoint']
