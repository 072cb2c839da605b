"""Boxes drawn on an image."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle


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
