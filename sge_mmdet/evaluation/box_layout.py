"""Boxes in another layout than COCO's, of which AP would be 0."""

import warnings

import numpy as np

# Pixels by which boxes may reach beyond their image: detectors round, and
# annotators draw a little beyond the edge.
MARGIN = 2
# A tenth of the boxes, and ten of them, are no accident.
FEWEST_SHARE, FEWEST = 0.1, 10


def warn_of_layout(box: np.ndarray, sizes: np.ndarray, name: str) -> None:
    """Warn if boxes cannot be x, y, width and height in pixels.

    Args:
        box (np.ndarray): Boxes, of shape (n, 4).
        sizes (np.ndarray): Height and width of each box's image in pixels, of
            shape (n, 2); 0 if they are not known.
        name (str): Name of the file, for the message.
    """
    is_known = (sizes > 0).all(1)
    beyond = (reach_beyond(box, sizes) & is_known).sum()
    total = is_known.sum()
    if total < FEWEST:
        return
    if beyond >= max(FEWEST, FEWEST_SHARE * total):
        what = f'{beyond} of {total} boxes reach beyond their image'
    elif (np.abs(box[is_known]) <= 1).all():
        what = f'all {total} boxes are within one pixel'
    else:
        return
    warnings.warn(
        f'{name}: {what}; a bbox must be [x, y, width, height] in pixels, '
        'not two corners and not shares of the image',
        stacklevel=4,
    )


def reach_beyond(box: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return which boxes reach beyond their image, of shape (n,).

    Args:
        box (np.ndarray): Boxes (x, y, width, height), of shape (n, 4).
        sizes (np.ndarray): Height and width of each box's image, of shape
            (n, 2).
    """
    start, end = box[:, :2], box[:, :2] + box[:, 2:]
    beyond = (start < -MARGIN) | (end > sizes[:, ::-1] + MARGIN)
    which: np.ndarray = beyond.any(1)
    return which
