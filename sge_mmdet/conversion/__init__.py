"""SGE in configs and checkpoints that exist already."""
from .add_sge import NotApplicableError, add_sge
from .authors import upgrade_legacy_detector
from .checkpoint_file import convert_checkpoint, convert_state_dict
from .config_file import find_config, write_sge_config
from .fresh_sge import with_fresh_sge

__all__ = [
    'NotApplicableError', 'add_sge', 'convert_checkpoint',
    'convert_state_dict', 'find_config', 'upgrade_legacy_detector',
    'with_fresh_sge', 'write_sge_config'
]
