"""Curves over bins, some of which hold little."""

import numpy as np
from matplotlib.axes import Axes

# Bins with fewer objects or detections say little.
FEW = 10


def draw_curve(
    axis: Axes,
    x: np.ndarray,
    y: np.ndarray,
    counts: np.ndarray,
    label: str,
) -> None:
    """Draw a curve over bins; those with few have a hollow marker, no line.

    Args:
        axis (Axes): Axes to draw on.
        x (np.ndarray): Places of the bins, of shape (n,).
        y (np.ndarray): Values, of shape (n,); NaN leaves a gap.
        counts (np.ndarray): Numbers in the bins, of shape (n,).
        label (str): Name of the curve.
    """
    is_few = counts < FEW
    (line,) = axis.plot(
        x, np.where(is_few, np.nan, y), marker='o', label=label
    )
    if is_few.any():
        axis.plot(
            x[is_few],
            y[is_few],
            'o',
            color=line.get_color(),
            fillstyle='none',
        )


def explain_few(axis: Axes, what: str) -> None:
    """Add what hollow markers mean to the legend, if there are any.

    Args:
        axis (Axes): Axes with curves.
        what (str): Name of what the bins hold, such as "objects".
    """
    if any(line.get_fillstyle() == 'none' for line in axis.lines):
        axis.plot(
            [],
            [],
            'o',
            color='0.3',
            fillstyle='none',
            label=f'fewer than {FEW} {what}',
        )
