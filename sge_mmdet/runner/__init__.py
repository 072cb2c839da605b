"""What surrounds a run of MMEngine: its tools, data and checkpoints."""
from .checkpoint import allow_mmengine_checkpoints, load_local_checkpoint
from .detect import DetectionFiles, detect
from .preflight import check_datasets, check_model
from .stock_tools import run_stock_tool

__all__ = [
    'DetectionFiles', 'allow_mmengine_checkpoints', 'check_datasets',
    'check_model', 'detect', 'load_local_checkpoint', 'run_stock_tool'
]
