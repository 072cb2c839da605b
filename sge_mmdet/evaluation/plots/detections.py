"""Detections beside the ground truth."""

from pathlib import Path
from typing import Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ...utils import RENEWING, Writer
from ...utils.figures import PictureFile, plain_text, save_figure
from ...utils.images import read_image
from .. import Detections, GroundTruth, read_detections, read_ground_truth
from .boxes import arrange_labels, draw_box

# Pairs of pictures in a row of the grid.
PAIRS = 2


@plain_text
def draw_detections(
    annotation_file: Union[str, Path],
    image_dir: Union[str, Path],
    result_file: Union[str, Path],
    out_file: PictureFile,
    images: int = 6,
    score_threshold: float = 0.3,
    writer: Writer = RENEWING,
) -> None:
    """Draw a grid: each image with its ground truth and with its detections.

    Args:
        annotation_file (str or Path): Ground truth in COCO format.
        image_dir (str or Path): Folder of the images.
        result_file (str or Path): Detections in COCO's result format.
        out_file (str, Path or BinaryIO): Picture to write.
        images (int): Number of images, evenly spread over the data set.
            Default: 6.
        score_threshold (float): Lowest score of the detections that are
            drawn. Default: 0.3.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.

    Raises:
        FileNotFoundError: If a file or an image does not exist.
        ValueError: If one cannot be read, or the ground truth has no images.
    """
    ground_truth = read_ground_truth(annotation_file)
    detections = read_detections(result_file, ground_truth)
    total = len(ground_truth.image_ids)
    if not total:
        raise ValueError(
            f'{annotation_file} has no images to draw; give annotations with '
            'at least one image'
        )
    chosen = np.linspace(0, total - 1, min(images, total), dtype=int)
    rows = -(-len(chosen) // PAIRS)
    figure = Figure(figsize=(16, 4.2 * rows), layout='constrained')
    axes = figure.subplots(rows, 2 * PAIRS, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for index, left, right in zip(chosen, axes[::2], axes[1::2]):
        name = ground_truth.file_names[index]
        pixels = read_image(image_dir, name)
        for axis, what in (left, 'ground truth'), (right, 'detections'):
            axis.imshow(pixels)
            axis.set_title(f'{name}: {what}', fontsize=10)
        _draw_objects(left, ground_truth, index)
        _draw_detections(
            right, ground_truth, detections, index, score_threshold
        )
    figure.suptitle(
        f'Detections with a score of at least {score_threshold:g}, as '
        '"class: score"'
    )
    # Labels are arranged in the places that images have at last.
    figure.draw_without_rendering()
    for axis in axes:
        arrange_labels(axis)
    save_figure(figure, out_file, writer)


def _draw_objects(axis: Axes, ground_truth: GroundTruth, index: int) -> None:
    """Draw the objects of an image."""
    for i in np.flatnonzero(ground_truth.image == index):
        category = ground_truth.category[i]
        draw_box(
            axis,
            ground_truth.box[i],
            _class_colour(category),
            ground_truth.category_names[category],
        )


def _draw_detections(
    axis: Axes,
    ground_truth: GroundTruth,
    detections: Detections,
    index: int,
    score_threshold: float,
) -> None:
    """Draw the detections of an image from a score on."""
    is_drawn = (detections.image == index) & (
        detections.score >= score_threshold
    )
    for i in np.flatnonzero(is_drawn):
        category = detections.category[i]
        name = ground_truth.category_names[category]
        draw_box(
            axis,
            detections.box[i],
            _class_colour(category),
            f'{name}: {detections.score[i]:.2f}',
        )


def _class_colour(category: int) -> str:
    return to_hex(f'C{category % 10}')
