"""Reading COCO's result format in C++, where setup.py could build it."""

import ctypes
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np

from ...native_library import load_library

# To be raised here and in boxes.cpp whenever its function changes.
VERSION = 1
FOLDER = Path(__file__).parent


class Boxes(NamedTuple):
    """The columns of a result file.

    Attributes:
        image_id: Ids of images; 64-bit integers of shape (N,).
        category_id: Ids of categories, likewise.
        bbox: Boxes as x, y, width and height in pixels; float64, (N, 4).
        score: Scores; float64, (N,).
    """

    image_id: np.ndarray
    category_id: np.ndarray
    bbox: np.ndarray
    score: np.ndarray


@lru_cache(maxsize=None)
def library() -> Optional[ctypes.CDLL]:
    """Return the built library, or None where there is none."""
    found = load_library(
        FOLDER, '_boxes', VERSION, 'result files are read more slowly'
    )
    if found is not None:
        found.sge_read_boxes.argtypes = [
            ctypes.c_char_p,
            *[ctypes.c_int64] * 2,
            *[ctypes.c_void_p] * 4,
        ]
    return found


def read_boxes(text: bytes) -> Optional[Boxes]:
    """Return the columns of boxes in COCO's result format.

    Args:
        text (bytes): Content of a result file.

    Returns:
        Boxes or None: None without the library, and if there is anything but
        objects with ``image_id``, ``category_id``, ``bbox`` and ``score``, or
        a number of another kind or of more than 64 bits.
    """
    found = library()
    if found is None:
        return None
    rows = text.count(b'{')
    boxes = Boxes(
        np.empty(rows, np.int64),
        np.empty(rows, np.int64),
        np.empty((rows, 4)),
        np.empty(rows),
    )
    is_read = found.sge_read_boxes(
        text, len(text), rows, *(column.ctypes.data for column in boxes)
    )
    return boxes if is_read else None
