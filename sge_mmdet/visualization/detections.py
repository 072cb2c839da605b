"""Detections beside the ground truth."""
from collections import defaultdict
from pathlib import Path
from typing import Sequence, Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from ..utils import load_json


def draw_detections(annotation_file: Union[str, Path],
                    image_dir: Union[str, Path],
                    result_file: Union[str, Path],
                    out_file: Union[str, Path],
                    images: int = 6,
                    score_threshold: float = 0.3) -> None:
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

    Raises:
        ValueError: If the ground truth has no image.
    """
    annotations, results = load_json(annotation_file), load_json(result_file)
    if not annotations['images']:
        raise ValueError(f'{annotation_file} has no image to draw')
    names = {c['id']: c['name'] for c in annotations['categories']}
    colours = {key: to_hex(f'C{i % 10}') for i, key in enumerate(names)}
    truth, found = defaultdict(list), defaultdict(list)
    for annotation in annotations['annotations']:
        truth[annotation['image_id']].append(annotation)
    for result in results:
        if result['score'] >= score_threshold:
            found[result['image_id']].append(result)
    total = len(annotations['images'])
    images = min(images, total)
    chosen = np.linspace(0, total - 1, images, dtype=int)
    pairs = 2
    rows = -(-len(chosen) // pairs)
    figure = Figure(figsize=(16, 4.2 * rows), layout='constrained')
    axes = figure.subplots(rows, 2 * pairs, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for index, (left, right) in zip(chosen, zip(axes[::2], axes[1::2])):
        image = annotations['images'][index]
        pixels = imread(Path(image_dir) / image['file_name'])
        for axis, boxes, title in ((left, truth, 'ground truth'),
                                   (right, found, 'detections')):
            axis.imshow(pixels)
            axis.set_title(f'{image["file_name"]}: {title}', fontsize=10)
            _draw_boxes(axis, boxes[image['id']], names, colours)
    figure.suptitle(f'Detections with a score of at least {score_threshold}; '
                    'number: class (and score in %)')
    figure.savefig(out_file, dpi=100)


def _draw_boxes(axis: Axes, boxes: Sequence[dict], names: dict,
                colours: dict) -> None:
    for box in boxes:
        x, y, width, height = box['bbox']
        colour = colours[box['category_id']]
        axis.add_patch(Rectangle((x, y), width, height, fill=False,
                                 edgecolor=colour, linewidth=1.5))
        label = names[box['category_id']]
        if 'score' in box:
            label += f' {100 * box["score"]:.0f}'
        text = axis.text(
            x, y - 1, label, fontsize=7, color='white', va='bottom',
            bbox=dict(facecolor=colour, edgecolor='none', pad=0.8))
        # A label that sticks out must not shrink the image.
        text.set_in_layout(False)
