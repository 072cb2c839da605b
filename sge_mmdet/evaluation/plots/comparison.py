"""The differences between two detectors, with their intervals."""

from typing import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...utils import RENEWING, Writer
from ...utils.figures import PictureFile, plain_text, save_figure
from .. import Comparison, Difference


@plain_text
def draw_comparison(
    comparison: Comparison,
    out_file: PictureFile,
    most: int = 40,
    writer: Writer = RENEWING,
) -> None:
    """Draw each difference in AP with its 95 % interval.

    Args:
        comparison (Comparison): The comparison.
        out_file (str, Path or BinaryIO): Picture to write.
        most (int): Largest number of classes that are shown, those with the
            lowest p-values. Default: 40.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.
    """
    told = [row for row in comparison.classes if row.is_told]
    classes = sorted(told, key=lambda row: row.p or 0)[:most]
    untold = len(comparison.classes) - len(told)
    by_class = 'by class'
    if untold:
        by_class += (
            f'; {untold} of {len(comparison.classes)} have too few images to '
            'tell'
        )
    groups = {'by size': comparison.sizes, by_class: classes}
    heights = [max(1, len(rows)) for rows in groups.values()]
    figure = Figure(
        figsize=(8, 1.6 + 0.28 * sum(heights)), layout='constrained'
    )
    axes = figure.subplots(2, 1, height_ratios=heights)
    for axis, (title, rows) in zip(axes, groups.items()):
        _draw_intervals(axis, rows)
        axis.set_title(title, fontsize=10)
    first, second = comparison.names
    label = (
        f'AP of {second} minus AP of {first}, in points, with '
        '95 % intervals;\ngrey: could be chance (adjusted p of 0.05 or more)'
    )
    if not all(row.is_told for row in comparison.sizes):
        label += ', hollow: too few images to tell'
    axes[-1].set_xlabel(label)
    save_figure(figure, out_file, writer)


def _draw_intervals(axis: Axes, rows: Sequence[Difference]) -> None:
    """Draw differences below each other, the first one at the top."""
    axis.axvline(0, color='0.6', linewidth=1)
    for i, row in enumerate(reversed(rows)):
        draw_difference(axis, row, i)
    axis.set_yticks(
        range(len(rows)), [row.name for row in reversed(rows)], fontsize=8
    )
    axis.set_ylim(-0.7, len(rows) - 0.3)
    axis.grid(axis='x', alpha=0.3)


def draw_difference(axis: Axes, row: Difference, height: float) -> None:
    """Draw a difference and its 95 % interval, if it has one, in points.

    It is green or red if it is clear, grey if it could be chance, and hollow
    without an interval.

    Args:
        axis (Axes): Axes to draw on.
        row (Difference): The difference.
        height (float): Vertical position.
    """
    colour = '0.45'
    if row.is_clear:
        colour = 'tab:green' if row.difference > 0 else 'tab:red'
    if row.low is not None and row.high is not None:
        bounds = [100 * row.low, 100 * row.high]
        axis.plot(bounds, [height, height], color=colour)
    axis.plot(
        100 * row.difference,
        height,
        'o',
        color=colour,
        markersize=5,
        fillstyle='full' if row.is_told else 'none',
    )
