"""SGE in configs and checkpoints that exist already."""
from .add_sge import add_sge
from .config_file import find_config, write_sge_config

__all__ = ['add_sge', 'find_config', 'write_sge_config']
