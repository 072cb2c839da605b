"""Detections beside the ground truth."""

from pathlib import Path
from typing import Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...utils import RENEWING, Writer
from ...utils.figures import save_figure
from ...visualization.images import plain_text, read_image
from .. import read_detections, read_ground_truth


@plain_text
def draw_detections(
    annotation_file: Union[str, Path],
    image_dir: Union[str, Path],
    result_file: Union[str, Path],
    out_file: Union[str, Path],
    images: int = 6,
    score_threshold: float = 0.3,
    writer: Writer = RENEWING,
) -> None:
    """Draw a grid: each image with its ground truth and with its detections.

    Args:
        annotation_file (str or Path): Ground truth in COCO format.
        image_dir (str or Path): Folder of its images.
        result_file (str or Path): Detections in COCO's result format.
        out_file (str or Path): Picture to write.
        images (int): How many images, evenly spread over the data set.
            Default: 6.
        score_threshold (float): Detections below it are not drawn.
            Default: 0.3.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.

    Raises:
        FileNotFoundError: If a file or an image is not there.
        ValueError: If one cannot be read, or the ground truth has no image.
    """
    ground_truth = read_ground_truth(annotation_file)
    detections = read_detections(result_file, ground_truth)
    total = len(ground_truth.image_ids)
    if not total:
        raise ValueError(f'{annotation_file} has no image to draw')
    chosen = np.linspace(0, total - 1, min(images, total), dtype=int)
    pairs = 2
    rows = -(-len(chosen) // pairs)
    figure = Figure(figsize=(16, 4.2 * rows), layout='constrained')
    axes = figure.subplots(rows, 2 * pairs, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for index, (left, right) in zip(chosen, zip(axes[::2], axes[1::2])):
        name = ground_truth.file_names[index]
        pixels = read_image(image_dir, name)
        for axis, columns, title in (
            (left, ground_truth, 'ground truth'),
            (right, detections, 'detections'),
        ):
            axis.imshow(pixels)
            axis.set_title(f'{name}: {title}', fontsize=10)
            here = columns.image == index
            if columns is detections:
                here &= detections.score >= score_threshold
            for i in np.flatnonzero(here):
                label = ground_truth.category_names[columns.category[i]]
                if columns is detections:
                    label += f' {100 * detections.score[i]:.0f}'
                _draw_box(
                    axis,
                    columns.box[i],
                    label,
                    to_hex(f'C{columns.category[i] % 10}'),
                )
    figure.suptitle(
        f'Detections with a score of at least {score_threshold}; '
        'number: class (and score in %)'
    )
    save_figure(figure, out_file, writer)


def _draw_box(axis: Axes, box: np.ndarray, label: str, colour: str) -> None:
    x, y, width, height = box
    axis.add_patch(
        Rectangle(
            (x, y), width, height, fill=False, edgecolor=colour, linewidth=1.5
        )
    )
    text = axis.text(
        x,
        y - 1,
        label,
        fontsize=7,
        color='white',
        va='bottom',
        bbox=dict(facecolor=colour, edgecolor='none', pad=0.8),
    )
    # A label that sticks out must not shrink the image.
    text.set_in_layout(False)
