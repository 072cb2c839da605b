"""Utilities shared by several parts of the package."""

from typing import List

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
    check_parsed_size,
    load_json,
    no_garbage_collection,
    read_json_text,
)
from .moved import moved
from .text import printable, printable_list

# Imported at their first use, because they need MMDetection; the operator can
# be used and timed without it.
_LAZY = dict(
    build_model='configs',
    build_part='configs',
    find_config='configs',
    get_model='configs',
    load_config='configs',
    quiet_log='logs',
    own_path='upstream',
    register_all_modules='upstream',
    upstream_path='upstream',
)

__all__ = [
    'RENEWING',
    'KeptFileError',
    'WriteError',
    'Writer',
    'build_model',
    'build_part',
    'check_json_file',
    'check_parsed_size',
    'find_config',
    'folder_beside',
    'get_model',
    'load_config',
    'load_json',
    'named_errors',
    'new_folder',
    'no_garbage_collection',
    'open_to_append',
    'own_path',
    'printable',
    'printable_list',
    'quiet_log',
    'read_json_text',
    'register_all_modules',
    'upstream_path',
]

__getattr__ = moved(__name__, {}, _LAZY)


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
