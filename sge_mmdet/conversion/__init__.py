"""Adding SGE to existing configs and checkpoints, and new configs."""

from ..utils import find_config
from ..utils.moved import moved
from .add_sge import add_sge
from .checkpoint import convert_checkpoint, convert_state_dict
from .config import write_sge_config
from .function_preserving import with_function_preserving_sge
from .legacy import upgrade_legacy_detector
from .new_config import Batch, NewConfig, write_new_config
from .parts import NotApplicableError

__all__ = [
    'Batch',
    'NewConfig',
    'NotApplicableError',
    'add_sge',
    'convert_checkpoint',
    'convert_state_dict',
    'find_config',
    'upgrade_legacy_detector',
    'with_function_preserving_sge',
    'write_new_config',
    'write_sge_config',
]

__getattr__ = moved(
    __name__,
    {
        'with_fresh_sge': 'sge_mmdet.conversion.with_function_preserving_sge',
    },
)
