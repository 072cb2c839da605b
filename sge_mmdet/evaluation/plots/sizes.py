"""Average precision, recall and errors by object size, as pictures."""

from pathlib import Path
from typing import Optional, Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...utils import RENEWING, Writer
from ...utils.figures import save_figure
from ...visualization.images import plain_text, read_image
from .. import Detections, ErrorBreakdown, EvaluationResult, GroundTruth


def draw_ap_by_size(
    result: EvaluationResult,
    out_file: Union[str, Path],
    writer: Writer = RENEWING,
) -> None:
    """Draw AP, AP50 and AR over the bins of an evaluation, with counts.

    Args:
        result (EvaluationResult): An evaluation with bins from small to large.
        out_file (str or Path): Picture to write.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.
    """
    bins = [bin for bin in result.bins if bin.name != 'all']
    figure = Figure(figsize=(9, 4.8), layout='constrained')
    axis = figure.subplots()
    counts = axis.twinx()
    places = np.arange(len(bins))
    counts.bar(
        places,
        [result.count(bin.name) for bin in bins],
        color='0.88',
        width=0.8,
    )
    counts.set_ylabel('objects (bars)')
    axis.set_zorder(counts.get_zorder() + 1)
    axis.patch.set_visible(False)
    for name, values in (
        ('AP', [result.ap(size=bin.name) for bin in bins]),
        ('AP50', [result.ap(0.5, bin.name) for bin in bins]),
        ('AR', [result.ar(bin.name) for bin in bins]),
    ):
        axis.plot(
            places,
            [np.nan if value is None else value for value in values],
            marker='o',
            label=name,
        )
    axis.set_xticks(
        places,
        [
            f'{bin.low:g}+'
            if np.isinf(bin.high)
            else f'{bin.low:g}-{bin.high:g}'
            for bin in bins
        ],
        rotation=30,
    )
    axis.set(
        xlabel='side of an object, square root of its area, in pixels',
        ylabel='AP, AP50, AR',
        ylim=(0, 1),
        title='Average precision over object size',
    )
    axis.grid(axis='y', alpha=0.3)
    axis.legend(loc='upper left')
    save_figure(figure, out_file, writer)


def draw_precision_recall(
    result: EvaluationResult,
    size: str,
    out_file: Union[str, Path],
    writer: Writer = RENEWING,
) -> None:
    """Draw precision over recall for objects of a size.

    Args:
        result (EvaluationResult): The evaluation.
        size (str): Name of one of its bins.
        out_file (str or Path): Picture to write.
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
    out_file: Union[str, Path],
    writer: Writer = RENEWING,
) -> None:
    """Draw each class's AP on objects of a size; classes without are named.

    Args:
        result (EvaluationResult): The evaluation.
        size (str): Name of one of its bins.
        out_file (str or Path): Picture to write.
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


def draw_errors(
    errors: ErrorBreakdown,
    out_file: Union[str, Path],
    writer: Writer = RENEWING,
) -> None:
    """Draw what became of the objects and what the false detections are.

    Args:
        errors (ErrorBreakdown): The errors.
        out_file (str or Path): Picture to write.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.
    """
    figure = Figure(figsize=(10, 3.6), layout='constrained')
    figure.suptitle(
        f'{errors.bin.name} objects ({errors.bin.text}), IoU 0.5, '
        f'detections with a score of at least {errors.score_threshold:g}'
    )
    left, right = figure.subplots(1, 2)
    for axis, title, parts in (
        (
            left,
            f'{errors.objects} objects',
            dict(hit=errors.hits, **errors.misses),
        ),
        (
            right,
            f'{sum(errors.false.values())} false detections',
            errors.false,
        ),
    ):
        bars = axis.barh(
            list(parts)[::-1],
            list(parts.values())[::-1],
            color=[
                'tab:green' if name == 'hit' else 'tab:red' for name in parts
            ][::-1],
        )
        axis.bar_label(bars, padding=3)
        axis.margins(x=0.15)
        axis.set_title(title, fontsize=10)
    save_figure(figure, out_file, writer)


@plain_text
def draw_missed(
    errors: ErrorBreakdown,
    ground_truth: GroundTruth,
    detections: Detections,
    image_dir: Union[str, Path],
    out_file: Union[str, Path],
    most: int = 24,
    writer: Writer = RENEWING,
) -> int:
    """Draw the largest objects of a size that nothing was detected of.

    Args:
        errors (ErrorBreakdown): The errors.
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        image_dir (str or Path): Folder of the images.
        out_file (str or Path): Picture to write.
        most (int): How many objects. Default: 24.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.

    Returns:
        int: How many were drawn.

    Raises:
        FileNotFoundError: If an image is not there.
        ValueError: If one cannot be read.
    """
    chosen = errors.missed[:most]
    columns = 6
    rows = max(1, -(-len(chosen) // columns))
    figure = Figure(
        figsize=(2.2 * columns, 0.7 + 2.4 * rows), layout='constrained'
    )
    figure.suptitle(
        f'{len(errors.missed)} of {errors.objects} {errors.bin.name} objects '
        f'missed; the {len(chosen)} largest (white: object; red: detections '
        f'from {errors.score_threshold:g})'
    )
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    pixels: Optional[np.ndarray] = None
    for axis, obj in zip(axes, chosen):
        image = ground_truth.image[obj]
        pixels = read_image(image_dir, ground_truth.file_names[image])
        x, y, width, height = ground_truth.box[obj]
        # As much around the object as lets a person see what it is.
        margin = max(24, 1.5 * max(width, height))
        axis.imshow(pixels, cmap='gray')
        axis.set_xlim(
            max(0, x - margin), min(pixels.shape[1], x + width + margin)
        )
        axis.set_ylim(
            min(pixels.shape[0], y + height + margin), max(0, y - margin)
        )
        _frame(axis, ground_truth.box[obj], 'white')
        near = (detections.image == image) & (
            detections.score >= errors.score_threshold
        )
        for box in detections.box[near]:
            _frame(axis, box, 'red')
        axis.set_title(
            f'{ground_truth.category_names[ground_truth.category[obj]]}, '
            f'{ground_truth.area[obj] ** 0.5:.0f} px',
            fontsize=8,
        )
    save_figure(figure, out_file, writer)
    return len(chosen)


def _frame(axis: Axes, box: np.ndarray, colour: str) -> None:
    x, y, width, height = box
    axis.add_patch(
        Rectangle(
            (x, y),
            width,
            height,
            fill=False,
            edgecolor=colour,
            linewidth=1.3,
            clip_on=True,
        )
    )
