"""Loading of MMEngine's checkpoints without running code in them."""

from .loading import allow_mmengine_checkpoints, load_local_checkpoint
from .new_layers import report_new_layers

__all__ = [
    'allow_mmengine_checkpoints',
    'load_local_checkpoint',
    'report_new_layers',
]
