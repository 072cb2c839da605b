"""Masks of tiles as masks of the images that the tiles were cut from."""

from typing import Any, List, Sequence, Tuple

import numpy as np
from pycocotools import mask as mask_utils


def place_masks(
    masks: Sequence[Any],
    offsets: np.ndarray,
    members: Sequence[np.ndarray],
    sizes: np.ndarray,
) -> List[dict]:
    """Return the unions of masks of tiles, in their source images.

    A source image may be much larger than its tiles, so that only the columns
    that a union lies in are drawn.

    Args:
        masks (Sequence[dict]): Masks of tiles in COCO's compressed RLE.
        offsets (np.ndarray): Place (x, y) of each mask's tile in its source
            image, in whole pixels; of shape (masks, 2).
        members (Sequence[np.ndarray]): Positions of the masks of each union.
        sizes (np.ndarray): Height and width of each union's image, of shape
            (unions, 2). What lies beyond it is cut off.

    Returns:
        list[dict]: Unions in COCO's compressed RLE.
    """
    return [
        _union([masks[i] for i in own], offsets[own], (int(h), int(w)))
        for own, (h, w) in zip(members, sizes)
    ]


def _union(
    masks: Sequence[Any], offsets: np.ndarray, size: Tuple[int, int]
) -> dict:
    """Return the union of some masks of tiles."""
    height, width = size
    boxes = mask_utils.toBbox(list(masks)).astype(int)
    left = offsets[:, 0] + boxes[:, 0]
    right = left + boxes[:, 2]
    begin = int(np.clip(left.min(), 0, width))
    end = int(np.clip(right.max(), begin, width))
    # RLE runs down the columns.
    columns = np.zeros((height, end - begin), np.uint8, order='F')
    for mask, (x, y) in zip(masks, offsets.tolist()):
        drawn = mask_utils.decode(mask)
        target, own = _common(x - begin, y, drawn.shape, columns.shape)
        columns[target] |= drawn[own]
    return _encode(columns, begin, size)


def _common(
    x: int, y: int, tile: Tuple[int, ...], image: Tuple[int, ...]
) -> Tuple[Tuple[slice, slice], Tuple[slice, slice]]:
    """Return where a tile lies in an image, and which part of it does."""
    target, own = [], []
    for start, length, limit in zip((y, x), tile, image):
        low, high = max(start, 0), max(min(start + length, limit), 0)
        high = max(low, high)
        target.append(slice(low, high))
        own.append(slice(low - start, high - start))
    return (target[0], target[1]), (own[0], own[1])


def _encode(columns: np.ndarray, begin: int, size: Tuple[int, int]) -> dict:
    """Return columns of an image, from one on, as RLE of the whole image."""
    pixels = columns.ravel(order='F')
    changes = np.flatnonzero(np.diff(pixels, prepend=0, append=0))
    changes = changes + begin * size[0]
    # Runs of zeros and ones take turns, from the image's first pixel on.
    counts = np.diff(changes, prepend=0, append=size[0] * size[1])
    return mask_utils.frPyObjects(
        dict(size=list(size), counts=counts.tolist()), *size
    )
