"""Reading COCO's result format."""

from typing import NamedTuple, Optional

import numpy as np

from .loading import library

# Fewest characters of a row, without which no entry fits.
SHORTEST_ROW = len(
    '{"image_id":1,"category_id":1,"bbox":[1,1,1,1],"score":1},'
)


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
    most = len(text) // SHORTEST_ROW + 1
    boxes = Boxes(
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty((most, 4)),
        np.empty(most),
    )
    rows = found.sge_read_boxes(
        text, len(text), *(column.ctypes.data for column in boxes)
    )
    return Boxes(*(column[:rows] for column in boxes)) if rows else None
