"""The differences between two detectors, with their intervals."""

from pathlib import Path
from typing import Sequence, Union

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...utils import RENEWING, Writer
from ...utils.figures import save_figure
from ...visualization.images import plain_text
from .. import Comparison, Difference


@plain_text
def draw_comparison(
    comparison: Comparison,
    out_file: Union[str, Path],
    most: int = 40,
    writer: Writer = RENEWING,
) -> None:
    """Draw each difference in AP with its 95 % interval.

    Args:
        comparison (Comparison): The comparison.
        out_file (str or Path): Picture to write.
        most (int): Largest number of classes that are shown, those with the
            lowest p-values. Default: 40.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.
    """
    classes = sorted(comparison.classes, key=lambda row: row.p)[:most]
    # One of twenty intervals excludes zero by chance alone.
    by_chance = 0.05 * len(comparison.classes)
    groups = {
        'by size': comparison.sizes,
        f'by class; without any difference {by_chance:.1f} of '
        f'{len(comparison.classes)} would be coloured': classes,
    }
    heights = [max(1, len(rows)) for rows in groups.values()]
    figure = Figure(
        figsize=(8, 1.6 + 0.28 * sum(heights)), layout='constrained'
    )
    axes = figure.subplots(2, 1, height_ratios=heights)
    for axis, (title, rows) in zip(axes, groups.items()):
        _draw_intervals(axis, rows)
        axis.set_title(title, fontsize=10)
    first, second = comparison.names
    axes[-1].set_xlabel(
        f'AP of {second} minus AP of {first}, in points, with '
        '95 % intervals over images; grey: could be chance'
    )
    save_figure(figure, out_file, writer)


def _draw_intervals(axis: Axes, rows: Sequence[Difference]) -> None:
    """Draw differences below each other, the first one at the top."""
    axis.axvline(0, color='0.6', linewidth=1)
    for i, row in enumerate(reversed(rows)):
        colour = _colour(row)
        axis.plot([100 * row.low, 100 * row.high], [i, i], color=colour)
        axis.plot(100 * row.difference, i, 'o', color=colour, markersize=5)
    axis.set_yticks(
        range(len(rows)), [row.name for row in reversed(rows)], fontsize=8
    )
    axis.set_ylim(-0.7, len(rows) - 0.3)
    axis.grid(axis='x', alpha=0.3)


def _colour(row: Difference) -> str:
    """Return grey if the interval contains 0, otherwise green or red."""
    if row.low <= 0 <= row.high:
        return '0.45'
    return 'tab:green' if row.difference > 0 else 'tab:red'
