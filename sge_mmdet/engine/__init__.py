"""Extensions of MMEngine's runs: hooks, checkpoints, tools and checks."""

from .brief_runner import BriefRunner
from .checkpoints import (
    allow_mmengine_checkpoints,
    load_local_checkpoint,
    report_new_layers,
)
from .class_names import read_classes
from .config_names import allow_config_names
from .inference import DetectionFiles, detect, find_test_data
from .optim_wrappers import BFloat16OptimWrapper
from .preflight import (
    Findings,
    TrainingRun,
    check_config,
    check_datasets,
    check_model,
    check_training,
)
from .upstream_tools import run_upstream_tool

__all__ = [
    'BFloat16OptimWrapper',
    'BriefRunner',
    'DetectionFiles',
    'Findings',
    'TrainingRun',
    'allow_config_names',
    'allow_mmengine_checkpoints',
    'check_config',
    'check_datasets',
    'check_model',
    'check_training',
    'detect',
    'find_test_data',
    'load_local_checkpoint',
    'read_classes',
    'report_new_layers',
    'run_upstream_tool',
]
