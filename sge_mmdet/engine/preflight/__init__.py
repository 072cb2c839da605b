"""Checks of a config, its data and the machine before a run starts."""

from .files import check_config, check_datasets, check_model
from .findings import Findings
from .training import TrainingRun, check_training

__all__ = [
    'Findings',
    'TrainingRun',
    'check_config',
    'check_datasets',
    'check_model',
    'check_training',
]
