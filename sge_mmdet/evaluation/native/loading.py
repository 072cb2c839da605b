"""The library of the loops, which :mod:`ctypes` calls."""

import ctypes
from functools import lru_cache
from pathlib import Path
from typing import Optional

from ...native_library import load_library

# To be raised here and in boxes.cpp whenever a function changes.
VERSION = 3
FOLDER = Path(__file__).parent


@lru_cache(maxsize=None)
def library() -> Optional[ctypes.CDLL]:
    """Return the built library, or None where there is none."""
    found = load_library(
        FOLDER,
        '_evaluation',
        VERSION,
        'result files are read, and figures computed, more slowly',
    )
    if found is None:
        return None
    number, array = ctypes.c_int64, ctypes.c_void_p
    found.sge_read_boxes.restype = number
    found.sge_read_boxes.argtypes = [ctypes.c_char_p, number, *[array] * 4]
    found.sge_match.restype = None
    found.sge_match.argtypes = [array, number, *[array] * 3]
    found.sge_curves.restype = None
    found.sge_curves.argtypes = [
        array,
        number,
        *[array] * 3,
        number,
        array,
        number,
        *[array] * 2,
    ]
    found.sge_overlapping_pairs.restype = None
    found.sge_overlapping_pairs.argtypes = [
        array,
        number,
        *[array] * 5,
        ctypes.c_double,
        *[array] * 3,
    ]
    found.sge_weighted_ap.restype = None
    found.sge_weighted_ap.argtypes = [
        *[array] * 3,
        *[number] * 2,
        array,
        *[number] * 2,
        *[array] * 3,
    ]
    return found
