"""Keys of annotation files that COCO's evaluation does not know."""

from dataclasses import dataclass
from typing import Any, List, Optional

import numpy as np

# Names of the category of ignored regions, in lower case with spaces.
REGION_NAMES = frozenset(
    f'{word} {thing}'
    for word in ('ignore', 'ignored')
    for thing in ('region', 'regions')
)


@dataclass(frozen=True)
class ProtocolLabels:
    """What an annotation file says besides COCO's keys.

    The protocols of some data sets need it (:mod:`.protocols`); COCO's does
    not look at it. Values of the lists are those of the file, not checked.

    Attributes:
        ignore: Whether each object has a true "ignore", of shape (n,).
        uncertain: Whether each object has a true "uncertain", of shape (n,).
        region_image: Index of the image of each ignored region, of shape
            (r,). Ignored regions are the annotations of a category of this
            name, whether it is evaluated or not.
        region_box: Boxes (x, y, width, height) of these regions in pixels, of
            shape (r, 4).
        negative: "neg_category_ids" of each image; None if images have none.
        not_exhaustive: "not_exhaustive_category_ids" of each image; None if
            images have none.
        frequency: "frequency" of each category by its id.
    """

    ignore: np.ndarray
    uncertain: np.ndarray
    region_image: np.ndarray
    region_box: np.ndarray
    negative: Optional[List[Any]]
    not_exhaustive: Optional[List[Any]]
    frequency: dict


def read_protocol_labels(
    data: dict, image: np.ndarray, box: np.ndarray, keep: np.ndarray
) -> ProtocolLabels:
    """Read the keys that COCO's evaluation does not know.

    Args:
        data (dict): Content of an annotation file in COCO's format.
        image (np.ndarray): Index of the image of each annotation, of shape
            (N,).
        box (np.ndarray): Boxes of the annotations, of shape (N, 4).
        keep (np.ndarray): Positions of the annotations of the evaluated
            categories, of shape (n,).

    Returns:
        ProtocolLabels: The values.
    """
    annotations, images = data['annotations'], data['images']
    ignore, uncertain = (
        np.array([bool(entry.get(key)) for entry in annotations], bool)[keep]
        for key in ('ignore', 'uncertain')
    )
    region_ids = {
        entry['id'] for entry in data['categories'] if is_region(entry['name'])
    }
    regions = (
        [
            i
            for i, entry in enumerate(annotations)
            if entry['category_id'] in region_ids
        ]
        if region_ids
        else []
    )
    negative, not_exhaustive = (
        [entry.get(key) for entry in images]
        if any(key in entry for entry in images)
        else None
        for key in ('neg_category_ids', 'not_exhaustive_category_ids')
    )
    return ProtocolLabels(
        ignore,
        uncertain,
        image[regions],
        box[regions],
        negative,
        not_exhaustive,
        {entry['id']: entry.get('frequency') for entry in data['categories']},
    )


def is_region(name: Any) -> bool:
    """Return whether a category has the name of ignored regions.

    Args:
        name (str): Name of a category, such as "ignored-regions".
    """
    words = str(name).lower().replace('-', ' ').replace('_', ' ')
    return words.strip() in REGION_NAMES
