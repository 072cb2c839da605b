"""What several parts of the package need."""
from .configs import build_model, get_model, load_config
from .files import refuse_existing
from .json_files import (
    check_json_file,
    load_json,
    no_garbage_collection,
    read_json_text,
)
from .logs import quiet_log
from .stock_mmdet import stock_path
from .text import printable, printable_list

__all__ = [
    'build_model', 'check_json_file', 'get_model', 'load_config', 'load_json',
    'no_garbage_collection', 'printable', 'printable_list', 'quiet_log',
    'read_json_text', 'refuse_existing', 'stock_path'
]
