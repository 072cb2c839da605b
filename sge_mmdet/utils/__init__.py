"""What several parts of the package need."""
from .configs import build_model, get_model, load_config
from .files import (
    RENEWING,
    KeptFileError,
    WriteError,
    Writer,
    folder_beside,
    named_errors,
    new_folder,
    open_to_append,
)
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
    'RENEWING',
    'KeptFileError',
    'WriteError',
    'Writer',
    'build_model',
    'check_json_file',
    'folder_beside',
    'get_model',
    'load_config',
    'load_json',
    'named_errors',
    'new_folder',
    'no_garbage_collection',
    'open_to_append',
    'printable',
    'printable_list',
    'quiet_log',
    'read_json_text',
    'stock_path'
]
