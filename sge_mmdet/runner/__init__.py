"""What surrounds a run of MMEngine: its tools, data and checkpoints."""
from .checkpoint import allow_mmengine_checkpoints, load_local_checkpoint
from .detect import DetectionFiles, detect, find_test_data
from .precision import BFloat16OptimWrapper
from .preflight import check_config, check_datasets, check_model
from .resume import ExactResumeHook, find_whole_checkpoint
from .stock_tools import run_stock_tool

__all__ = [
    'BFloat16OptimWrapper', 'DetectionFiles', 'ExactResumeHook',
    'allow_mmengine_checkpoints', 'check_config', 'check_datasets',
    'check_model', 'detect', 'find_test_data', 'find_whole_checkpoint',
    'load_local_checkpoint', 'run_stock_tool'
]
