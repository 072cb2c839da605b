"""Operating points, costs of errors, calibration and confusions, drawn."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...utils import RENEWING, Writer
from ...utils.figures import PictureFile, plain_text, save_figure
from .. import Diagnostics, OperatingPoints
from .curves import draw_curve, explain_few

# Largest number of classes in the picture of confusions.
MOST_CLASSES = 20
# Most false positives per image that the FROC curves show.
MOST_FALSE = 16


@plain_text
def draw_operating_points(
    points: OperatingPoints,
    size: str,
    out_file: PictureFile,
    writer: Writer = RENEWING,
) -> None:
    """Draw precision, recall and F1 over the threshold, and FROC curves.

    Args:
        points (OperatingPoints): Score thresholds by size.
        size (str): Name of the bin whose thresholds are shown.
        out_file (str, Path or BinaryIO): Picture to write.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.
    """
    figure = Figure(figsize=(11, 4.4), layout='constrained')
    left, right = figure.subplots(1, 2)
    _draw_thresholds(left, points, size)
    for bin in points.bins:
        curve = points.curves[bin.name]
        if curve.objects:
            right.step(
                np.r_[0, curve.false / curve.images, 1e9],
                np.r_[0, curve.hits, curve.hits[-1:]] / curve.objects
                if len(curve.hits)
                else np.zeros(2),
                where='post',
                label=bin.name,
            )
    right.set_xscale('symlog', base=2, linthresh=0.125)
    ticks = [0, *(2.0**i for i in range(-3, 5))]
    right.set_xticks(ticks, [f'{tick:g}' for tick in ticks])
    right.set(
        xlim=(0, MOST_FALSE),
        ylim=(0, 1),
        xlabel='false positives per image',
        ylabel='recall',
        title='Recall over false positives (FROC), IoU 0.5',
    )
    right.grid(alpha=0.3)
    if right.lines:
        right.legend()
    save_figure(figure, out_file, writer)


def _draw_thresholds(axis: Axes, points: OperatingPoints, size: str) -> None:
    """Draw precision, recall and F1 over the score threshold."""
    curve, best = points.curve(size), points.best(size)
    title = f'{size} objects ({curve.objects}), IoU 0.5'
    if best is None or best.score is None:
        axis.text(0.5, 0.5, f'n/a: no {size} object is hit', ha='center')
    else:
        for name, values in (
            ('precision', curve.hits / (curve.hits + curve.false)),
            ('recall', curve.hits / curve.objects),
            ('F1', curve.f1),
        ):
            axis.plot(curve.score, values, label=name)
        axis.axvline(best.score, color='0.5', linestyle=':')
        title += f'; highest F1 {best.f1:.3f} from {best.score:.3f}'
        axis.legend()
    axis.set(ylim=(0, 1), xlabel='lowest score that counts', title=title)
    axis.grid(alpha=0.3)


@plain_text
def draw_error_costs(
    diagnostics: Diagnostics,
    out_file: PictureFile,
    writer: Writer = RENEWING,
) -> None:
    """Draw what each kind of error costs in AP50, by size.

    Args:
        diagnostics (Diagnostics): The diagnostics.
        out_file (str, Path or BinaryIO): Picture to write.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.
    """
    costs = [cost for cost in diagnostics.costs if cost.gains]
    figure = Figure(figsize=(9, 4.4), layout='constrained')
    axis = figure.subplots()
    kinds = [*diagnostics.costs[0].counts]
    width = 0.8 / max(1, len(costs))
    for i, cost in enumerate(costs):
        axis.bar(
            np.arange(len(kinds)) + width * (i - (len(costs) - 1) / 2),
            [cost.gains[kind] for kind in kinds],
            width,
            label=f'{cost.bin.name}: AP50 {cost.ap:.3f}',
        )
    axis.set_xticks(range(len(kinds)), kinds)
    axis.set(
        ylabel='gain in AP50 without these errors',
        title='What errors cost (TIDE), by object size',
    )
    axis.grid(axis='y', alpha=0.3)
    if costs:
        figure.legend(loc='outside lower center', ncols=4)
    save_figure(figure, out_file, writer)


@plain_text
def draw_calibration(
    diagnostics: Diagnostics,
    out_file: PictureFile,
    writer: Writer = RENEWING,
) -> None:
    """Draw the share of hits and the number of detections over the score.

    Each size has a curve. Bins with few detections have hollow markers.

    Args:
        diagnostics (Diagnostics): The diagnostics.
        out_file (str, Path or BinaryIO): Picture to write.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.
    """
    figure = Figure(figsize=(5.6, 6.8), layout='constrained')
    axis, below = figure.subplots(2, sharex=True, height_ratios=[4, 1])
    axis.plot([0, 1], [0, 1], color='0.6', linestyle=':')
    for one in diagnostics.calibrations:
        if one is not None and one.counts.any():
            shown = one.counts > 0
            draw_curve(
                axis,
                one.scores[shown],
                one.precision[shown],
                one.counts[shown],
                f'{one.bin.name}: error {one.expected_error:.3f}',
            )
            # In the colour of the curve, as both axes have the same cycle.
            below.stairs(one.counts, np.linspace(0, 1, len(one.counts) + 1))
    axis.set(
        # Markers at 0 and 1 are whole.
        xlim=(0, 1),
        ylim=(-0.02, 1.02),
        ylabel='share of detections that hit an object',
        title='Calibration of scores, IoU 0.5',
    )
    axis.grid(alpha=0.3)
    # Most scores are low.
    below.set_yscale('log')
    below.yaxis.set_major_formatter('{x:,.0f}')
    below.set(xlabel='score', ylabel='detections')
    below.set_ylim(bottom=0.5)
    below.grid(alpha=0.3)
    explain_few(axis, 'detections')
    if len(axis.lines) > 1:
        figure.legend(loc='outside lower center', ncols=2)
    save_figure(figure, out_file, writer)


@plain_text
def draw_confusion(
    diagnostics: Diagnostics,
    size: str,
    out_file: PictureFile,
    writer: Writer = RENEWING,
) -> None:
    """Draw which classes are taken for which, as shares of each class.

    Numbers are those of objects. A class without any is marked as n/a.

    Args:
        diagnostics (Diagnostics): The diagnostics.
        size (str): Name of the bin of object sizes.
        out_file (str, Path or BinaryIO): Picture to write.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.
    """
    (one,) = (one for one in diagnostics.confusions if one.bin.name == size)
    matrix = one.matrix[:-1]
    wrong = matrix[:, :-1] * (1 - np.eye(len(matrix), dtype=int))
    # Those that are confused most often.
    order = np.argsort(-(wrong.sum(0) + wrong.sum(1)), kind='stable')
    shown = np.sort(order[:MOST_CLASSES])
    total = matrix.sum(1)[shown]
    numbers = matrix[shown][:, [*shown, -1]]
    names = [one.category_names[k] for k in shown]
    side = 2.5 + 0.42 * len(shown)
    figure = Figure(figsize=(side + 1, side), layout='constrained')
    axis = figure.subplots()
    share = numbers / np.maximum(total, 1)[:, None]
    share[total == 0] = np.nan
    image = axis.imshow(share, vmin=0, vmax=1, cmap='Blues')
    _write_numbers(axis, numbers, share)
    axis.set_xticks(
        range(len(names) + 1), [*names, 'missed'], rotation=90, fontsize=8
    )
    axis.set_yticks(
        range(len(names)),
        [f'{name} ({n})' for name, n in zip(names, total)],
        fontsize=8,
    )
    axis.set_xlabel('class of the detection')
    axis.set_ylabel('class of the object (number of objects)')
    title = f'{size} objects, score of at least {one.score_threshold:.3f}'
    if len(shown) < len(matrix):
        title += (
            f'\nthe {len(shown)} of {len(matrix)} classes that are confused '
            'most often'
        )
    axis.set_title(title, fontsize=10)
    figure.colorbar(image, label='share of the objects of a class')
    save_figure(figure, out_file, writer)


def _write_numbers(axis: Axes, numbers: np.ndarray, share: np.ndarray) -> None:
    """Write numbers into cells, and that those of a class are not known.

    Args:
        axis (Axes): Axes with one cell per number.
        numbers (np.ndarray): Numbers of objects; 0 is left out.
        share (np.ndarray): Their shares of each class; NaN without objects.
    """
    axis.set_facecolor('0.9')
    for (row, column), part in np.ndenumerate(share):
        number = numbers[row, column]
        if number or np.isnan(part):
            axis.text(
                column,
                row,
                f'{number}' if number else 'n/a',
                ha='center',
                va='center',
                fontsize=7,
                color='white' if part > 0.6 else 'black',
            )
