"""Errors on objects of a size, as pictures."""

from pathlib import Path
from typing import Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...utils import RENEWING, Writer
from ...utils.figures import PictureFile, plain_text, save_figure
from ...utils.images import read_image
from .. import Detections, ErrorBreakdown, GroundTruth
from .boxes import draw_box

# Pictures of missed objects in a row.
COLUMNS = 6


def draw_errors(
    errors: ErrorBreakdown,
    out_file: PictureFile,
    writer: Writer = RENEWING,
) -> None:
    """Draw hits, misses and false detections by kind, as bars.

    Args:
        errors (ErrorBreakdown): The errors.
        out_file (str, Path or BinaryIO): Picture to write.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.
    """
    figure = Figure(figsize=(10, 3.6), layout='constrained')
    figure.suptitle(
        f'{errors.bin.name} objects ({errors.bin.text}), IoU 0.5, '
        f'detections with a score of at least {errors.score_threshold:.3f}'
    )
    left, right = figure.subplots(1, 2)
    for axis, title, unit, parts in (
        (
            left,
            f'{errors.objects} objects',
            'objects',
            dict(hit=errors.hits, **errors.misses),
        ),
        (
            right,
            f'{sum(errors.false.values())} false detections',
            'detections',
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
        # Room for the numbers beside the bars, and one unit without any.
        axis.set_xlim(0, 1.15 * max(1, *parts.values()))
        axis.xaxis.set_major_locator(MaxNLocator('auto', integer=True))
        axis.set_xlabel(unit)
        axis.set_title(title, fontsize=10)
    save_figure(figure, out_file, writer)


@plain_text
def draw_missed(
    errors: ErrorBreakdown,
    ground_truth: GroundTruth,
    detections: Detections,
    image_dir: Union[str, Path],
    out_file: PictureFile,
    most: int = 24,
    writer: Writer = RENEWING,
) -> int:
    """Draw the largest missed objects of a size.

    The place of an object whose image cannot be read says so.

    Args:
        errors (ErrorBreakdown): The errors.
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        image_dir (str or Path): Folder of the images.
        out_file (str, Path or BinaryIO): Picture to write.
        most (int): Largest number of objects that are drawn. Default: 24.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.

    Returns:
        int: Number of objects that were drawn, with those places.

    Raises:
        FileNotFoundError: If none of the images exists.
        ValueError: If none of the images can be read.
    """
    chosen = errors.missed[:most]
    rows = max(1, -(-len(chosen) // COLUMNS))
    figure = Figure(
        figsize=(2.2 * COLUMNS, 0.7 + 2.4 * rows), layout='constrained'
    )
    figure.suptitle(
        f'{len(errors.missed)} of {errors.objects} {errors.bin.name} objects '
        f'missed; the {len(chosen)} largest (white: object; red: detections '
        f'with a score of at least {errors.score_threshold:.3f})'
    )
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    errors_of_reading = []
    for axis, obj in zip(axes, chosen):
        image = ground_truth.image[obj]
        try:
            pixels = read_image(image_dir, ground_truth.file_names[image])
        except (OSError, ValueError) as error:
            errors_of_reading.append(error)
            axis.set_title('image not readable', fontsize=8)
            continue
        _draw_surroundings(axis, pixels, ground_truth.box[obj])
        draw_box(axis, ground_truth.box[obj], 'white', linewidth=1.3)
        is_near = (detections.image == image) & (
            detections.score >= errors.score_threshold
        )
        for box in detections.box[is_near]:
            draw_box(axis, box, 'red', linewidth=1.3)
        axis.set_title(
            f'{ground_truth.category_names[ground_truth.category[obj]]}, '
            f'{ground_truth.area[obj] ** 0.5:.0f} px',
            fontsize=8,
        )
    if errors_of_reading and len(errors_of_reading) == len(chosen):
        # Likely the wrong folder.
        raise errors_of_reading[0]
    save_figure(figure, out_file, writer)
    return len(chosen)


def _draw_surroundings(
    axis: Axes, pixels: np.ndarray, box: np.ndarray
) -> None:
    """Draw the part of an image around a box.

    Args:
        axis (Axes): Axes to draw on.
        pixels (np.ndarray): Image of shape (H, W) or (H, W, channels).
        box (np.ndarray): Box (x, y, width, height) in pixels, of shape (4,).
    """
    x, y, width, height = box
    # Enough of the surroundings to recognise the object.
    margin = max(24, 1.5 * max(width, height))
    axis.imshow(pixels, cmap='gray')
    axis.set_xlim(max(0, x - margin), min(pixels.shape[1], x + width + margin))
    axis.set_ylim(
        min(pixels.shape[0], y + height + margin), max(0, y - margin)
    )
