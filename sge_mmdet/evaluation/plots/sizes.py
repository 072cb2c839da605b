"""Average precision and recall by object size, as pictures."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...utils import RENEWING, Writer
from ...utils.figures import PictureFile, plain_text, save_figure
from .. import EvaluationResult, SizeBin
from .curves import draw_curve, explain_few


def draw_ap_by_size(
    result: EvaluationResult,
    out_file: PictureFile,
    writer: Writer = RENEWING,
) -> None:
    """Draw AP, AP50 and AR over the bins of an evaluation, with counts.

    Bins with few objects have hollow markers.

    Args:
        result (EvaluationResult): An evaluation with bins from small to large.
        out_file (str, Path or BinaryIO): Picture to write.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.
    """
    bins = [bin for bin in result.bins if bin.name != 'all']
    figure = Figure(figsize=(9, 4.8), layout='constrained')
    axis = figure.subplots()
    places = np.arange(len(bins))
    objects = np.array([result.count(bin.name) for bin in bins])
    _draw_counts(axis, objects)
    for name, values in (
        ('AP', [result.ap(size=bin.name) for bin in bins]),
        ('AP50', [result.ap(0.5, bin.name) for bin in bins]),
        ('AR', [result.ar(bin.name) for bin in bins]),
    ):
        # NaN leaves a gap in the line.
        known = [np.nan if value is None else value for value in values]
        draw_curve(axis, places, np.array(known), objects, name)
    axis.set_xticks(
        places,
        [f'{_sides(bin)}\n({n})' for bin, n in zip(bins, objects)],
        fontsize=9,
    )
    axis.set(
        xlabel='side of an object, square root of its area, in pixels '
        '(number of objects)',
        ylabel='AP, AP50, AR',
        # Markers at 0 and 1 are whole.
        ylim=(-0.02, 1.02),
        title='Average precision over object size',
    )
    axis.grid(axis='y', alpha=0.3)
    explain_few(axis, 'objects')
    figure.legend(loc='outside lower center', ncols=4)
    save_figure(figure, out_file, writer)


def _draw_counts(axis: Axes, objects: np.ndarray) -> None:
    """Draw numbers of objects as bars behind the curves."""
    counts = axis.twinx()
    counts.bar(np.arange(len(objects)), objects, color='0.88', width=0.8)
    counts.set_ylabel('objects (bars)')
    most = max(1, objects.max(initial=0))
    # The same share below 0 as on the other axis.
    counts.set_ylim(-0.02 * most, 1.02 * most)
    counts.yaxis.set_major_locator(
        MaxNLocator('auto', steps=[1, 2, 5, 10], integer=True)
    )
    axis.set_zorder(counts.get_zorder() + 1)
    axis.patch.set_visible(False)


def _sides(bin: SizeBin) -> str:
    """Return the sides of objects in a bin, such as "16-32" or "96+"."""
    if np.isinf(bin.high):
        return f'{bin.low:g}+'
    return f'{bin.low:g}-{bin.high:g}'


def draw_precision_recall(
    result: EvaluationResult,
    size: str,
    out_file: PictureFile,
    writer: Writer = RENEWING,
) -> None:
    """Draw precision over recall for objects of a size.

    Args:
        result (EvaluationResult): The evaluation.
        size (str): Name of one of its bins.
        out_file (str, Path or BinaryIO): Picture to write.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.
    """
    figure = Figure(figsize=(6, 5), layout='constrained')
    axis = figure.subplots()
    for iou in 0.5, 0.75, 0.9:
        curve = result.curve(iou, size)
        if curve is not None:
            axis.plot(
                np.linspace(0, 1, len(curve)),
                curve,
                label=f'IoU {iou:g}: AP {curve.mean():.3f}',
            )
    if axis.lines:
        axis.legend()
    else:
        axis.text(0.5, 0.5, f'n/a: no {size} objects', ha='center')
    axis.set(
        xlim=(0, 1),
        ylim=(0, 1),
        xlabel='recall',
        ylabel='precision',
        title=f'Precision and recall, {size} objects '
        f'({result.count(size)}), mean over classes',
    )
    axis.grid(alpha=0.3)
    save_figure(figure, out_file, writer)


@plain_text
def draw_class_bars(
    result: EvaluationResult,
    size: str,
    out_file: PictureFile,
    writer: Writer = RENEWING,
) -> None:
    """Draw each class's AP on objects of a size.

    The title names the classes that have no such objects.

    Args:
        result (EvaluationResult): The evaluation.
        size (str): Name of one of its bins.
        out_file (str, Path or BinaryIO): Picture to write.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.
    """
    rows = [
        (result.ap(size=size, category=k), name, result.count(size, k))
        for k, name in enumerate(result.category_names)
    ]
    shown = sorted(
        (value, name, count)
        for value, name, count in rows
        if value is not None
    )
    lacking = [name for value, name, _ in rows if value is None]
    figure = Figure(
        figsize=(8, 1.4 + 0.24 * max(4, len(shown))), layout='constrained'
    )
    axis = figure.subplots()
    axis.barh(range(len(shown)), [row[0] for row in shown])
    axis.set_yticks(
        range(len(shown)),
        [f'{name} ({count})' for _, name, count in shown],
        fontsize=8,
    )
    axis.set_ylim(-0.7, max(1, len(shown)) - 0.3)
    axis.set(xlabel=f'AP of {size} objects (number in brackets)', xlim=(0, 1))
    if lacking:
        axis.set_title(
            f'n/a, no {size} objects: '
            + ', '.join(lacking[:8])
            + (' ...' if len(lacking) > 8 else ''),
            fontsize=8,
        )
    axis.grid(axis='x', alpha=0.3)
    save_figure(figure, out_file, writer)
