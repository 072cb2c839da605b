"""Boxes drawn on an image."""

from typing import List

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

# Where a label may move to, in its heights above or below its place.
STEPS = (0.0, -1.05, 1.05, -2.1, 2.1, -3.15, 3.15, -4.2, 4.2)
# Room around the text of a label, in pixels of the picture.
PADDING = 1.5


def draw_box(
    axis: Axes,
    box: np.ndarray,
    colour: str,
    label: str = '',
    linewidth: float = 1.5,
) -> None:
    """Draw the outline of a box, with a label above it.

    Args:
        axis (Axes): Axes that show the image.
        box (np.ndarray): Box (x, y, width, height) in pixels, of shape (4,).
        colour (str): Colour of the outline, as matplotlib takes it.
        label (str): Text above the box. Default: "", no label.
        linewidth (float): Width of the outline, in points. Default: 1.5.
    """
    x, y, width, height = box
    axis.add_patch(
        Rectangle(
            (x, y),
            width,
            height,
            fill=False,
            edgecolor=colour,
            linewidth=linewidth,
        )
    )
    if label:
        text = axis.text(
            x,
            y - 1,
            label,
            fontsize=7,
            color='white',
            va='bottom',
            bbox=dict(facecolor=colour, edgecolor='none', pad=0.8),
        )
        # A label beyond the edge of the image must not shrink the image.
        text.set_in_layout(False)


def arrange_labels(axis: Axes) -> None:
    """Move labels of boxes into the axes, and off each other where they can.

    The layout of the figure has to be final.

    Args:
        axis (Axes): Axes with boxes of :func:`draw_box`.
    """
    taken: List[Bbox] = []
    for text in axis.texts:
        own = text.get_window_extent().padded(PADDING)
        places = [
            _moved_inside(own.translated(0, step * own.height), axis.bbox)
            for step in STEPS
        ]
        free = [place for place in places if not place.count_overlaps(taken)]
        chosen = (free or places)[0]
        taken.append(chosen)
        x, y = axis.transData.transform(text.get_position())
        moved = x + chosen.x0 - own.x0, y + chosen.y0 - own.y0
        text.set_position(tuple(axis.transData.inverted().transform(moved)))


def _moved_inside(label: Bbox, axes: Bbox) -> Bbox:
    """Return the place of a label, moved into the axes."""
    right = max(axes.x0 - label.x0, 0) + min(axes.x1 - label.x1, 0)
    up = max(axes.y0 - label.y0, 0) + min(axes.y1 - label.y1, 0)
    return label.translated(right, up)
