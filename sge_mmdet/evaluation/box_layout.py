"""Boxes in another layout than COCO's, of which AP would be 0."""

import warnings

import numpy as np

# Detectors round, and annotators draw a little beyond the edge.
SLACK = 2
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
    ends = box[:, :2] + box[:, 2:]
    beyond = ((ends > sizes[:, ::-1] + SLACK).any(1) & is_known).sum()
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
