"""Ground truth in COCO's annotation format."""

import warnings
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

import numpy as np

from ..utils import load_json, printable, printable_list
from ..utils.text import printable_value
from .box_layout import warn_of_layout
from .entries import (
    LARGEST_COORDINATE,
    are_boxes,
    checked_text,
    describe_fault,
    file_name,
    find_ids,
    id_column,
    number_table,
    unique_ids,
)
from .protocol_labels import read_protocol_labels
from .structures import GroundTruth
from .text_ids import number_ids

# Longest side of an image, in pixels. Masks of larger images could fill the
# memory of any machine.
LONGEST_SIDE = 100_000
# Twice as many as in the largest data set known. A result has figures of each
# category and size.
MOST_CATEGORIES = 50_000


def read_ground_truth(
    source: Union[str, Path, dict],
    categories: Optional[Union[str, Sequence[str]]] = None,
    in_label_order: bool = False,
    name: Optional[str] = None,
) -> GroundTruth:
    """Read ground truth in COCO's annotation format.

    Args:
        source (str, Path or dict): Annotation file in JSON, or its content.
        categories (str or Sequence[str], optional): Names of the categories
            to evaluate, which are the detector's classes, or "all". Default:
            None, all categories, but a result pickle whose labels may mean
            only some of them is refused.
        in_label_order (bool): Whether the labels of a result pickle are
            positions in ``categories``. Default: False, positions among these
            categories in the file's order, as in MMDetection's
            ``CocoDataset``.
        name (str, optional): Name of the ground truth, for messages. Default:
            None, the path, or "The ground truth" for content.

    Returns:
        GroundTruth: The ground truth.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not COCO ground truth, with the first entry
            that is wrong; or if it lacks a chosen category.
    """
    if name is None:
        name = 'The ground truth' if isinstance(source, dict) else str(source)
    data = source if isinstance(source, dict) else load_json(source)
    check_lists(data, name)
    try:
        data, text_ids = number_ids(data, name)
        image_ids = unique_ids(name, 'images', data['images'])
        unique_ids(name, 'annotations', data['annotations'])
        all_names = _category_names(data['categories'], name)
        chosen = _choose_categories(
            all_names, categories, in_label_order, name
        )
        sizes = _image_sizes(data['images'])
        objects = _Objects(data['annotations'], image_ids)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f'{name} is not a COCO annotation file: '
            f'{describe_fault("an entry", error)}'
        ) from error
    _check_sizes(sizes, image_ids, name)
    objects.check(list(all_names), name)
    warn_of_layout(objects.box, sizes[objects.image], name)
    area = objects.areas(name)
    category_ids = np.array(sorted(chosen), int)
    keep = np.flatnonzero(np.isin(objects.category_id, category_ids))
    segmentation = [data['annotations'][i].get('segmentation') for i in keep]
    return GroundTruth(
        image_ids=image_ids,
        image_sizes=sizes.astype(int),
        category_ids=category_ids,
        category_names=_names_to_show(all_names, category_ids.tolist()),
        label_ids=np.array(chosen, int),
        image=objects.image[keep],
        category=np.searchsorted(category_ids, objects.category_id[keep]),
        box=objects.box[keep],
        area=area[keep],
        crowd=np.array([objects.crowd[i] for i in keep], bool),
        segmentation=segmentation if all(segmentation) else None,
        file_names=[file_name(image) for image in data['images']],
        name=name,
        other_ids=np.setdiff1d(np.array([*all_names], int), category_ids),
        has_known_labels=categories is not None,
        labels=read_protocol_labels(data, objects.image, objects.box, keep),
        text_ids=text_ids,
    )


def used_annotations(data: dict) -> dict:
    """Return ground truth without annotations that CocoMetric does not see.

    They are of images or categories that are not listed. In a file from
    elsewhere they are a fault.

    Args:
        data (dict): Content of an annotation file in COCO's format, with or
            without annotations.
    """
    images, categories = (
        {entry['id'] for entry in data[key]}
        for key in ('images', 'categories')
    )
    return dict(
        data,
        annotations=[
            entry
            for entry in data.get('annotations', [])
            if entry['image_id'] in images
            and entry['category_id'] in categories
        ],
    )


class _Objects:
    """Columns of the entries of "annotations".

    Args:
        annotations (Sequence[dict]): The entries.
        image_ids (np.ndarray): Ids of the images, of shape (I,).

    Raises:
        AttributeError, KeyError or TypeError: If an entry lacks a key or has
            a value of a wrong type.
    """

    def __init__(
        self, annotations: Sequence[dict], image_ids: np.ndarray
    ) -> None:
        self.annotations = annotations
        self.image = find_ids(
            image_ids,
            id_column('image_id', [a['image_id'] for a in annotations]),
        )
        self.category_id = id_column(
            'category_id', [a['category_id'] for a in annotations]
        )
        self.box = number_table(
            'bbox [x, y, width, height]',
            [a['bbox'] for a in annotations],
            4,
        )
        areas = [a.get('area') for a in annotations]
        self.lacks_area = np.array([value is None for value in areas], bool)
        self.area = number_table(
            'area', [0 if value is None else value for value in areas], 1
        )[:, 0]
        self.crowd = [a.get('iscrowd', 0) for a in annotations]

    def check(self, category_ids: Sequence[int], name: str) -> None:
        """Raise if a value is not possible.

        Args:
            category_ids (Sequence[int]): Ids of all categories.
            name (str): Name of the file, for messages.

        Raises:
            ValueError: With the first annotation that is wrong.
        """
        wrong = {
            'an "image_id" that is not in "images"': self.image < 0,
            'a "category_id" that is not in "categories"': ~np.isin(
                self.category_id, category_ids
            ),
            'a box that is not four finite numbers, of up to '
            f'{LARGEST_COORDINATE:.0e} pixels, with a size of 0 or more': (
                ~are_boxes(self.box)
            ),
            'an area that is not 0 or more': ~(
                (self.area >= 0) & np.isfinite(self.area)
            ),
            'an iscrowd that is not 0 or 1': np.array(
                [flag not in (0, 1) for flag in self.crowd], bool
            ),
        }
        for what, is_wrong in wrong.items():
            if is_wrong.any():
                first = self.annotations[is_wrong.argmax()]['id']
                raise ValueError(
                    f'{name}: annotation {first} has {what} '
                    f'({is_wrong.sum()} such annotations); correct or remove '
                    'them'
                )

    def areas(self, name: str) -> np.ndarray:
        """Return the areas; those of the boxes where none is annotated.

        Args:
            name (str): Name of the file, for the warning.
        """
        if not self.lacks_area.any():
            return self.area
        warnings.warn(
            f'{name}: {self.lacks_area.sum()} annotations have no "area"; '
            'the area of the box is used for them',
            stacklevel=3,
        )
        return np.where(
            self.lacks_area, self.box[:, 2] * self.box[:, 3], self.area
        )


def check_lists(data: Any, name: str) -> None:
    """Raise if a list of COCO's annotation format is missing or too long.

    Args:
        data (Any): Content of a file.
        name (str): Its name, for messages.

    Raises:
        ValueError: If the content is no such annotations.
    """
    expected = (
        f'{name} is not a COCO annotation file: expected an object with the '
        'lists "images", "annotations" and "categories", got '
    )
    if isinstance(data, list):
        raise ValueError(f'{expected}a list, as in a file of results')
    if not isinstance(data, dict):
        raise ValueError(expected + printable_value(data))
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(data.get(key), (list, tuple)):
            raise ValueError(f'{expected}no list "{key}"')
    if len(data['categories']) > MOST_CATEGORIES:
        raise ValueError(
            f'{name} has {len(data["categories"])} categories; '
            f'at most {MOST_CATEGORIES} are evaluated'
        )


def _category_names(entries: Sequence[dict], name: str) -> Dict[int, str]:
    """Return the names of all categories by id, in the order of the file."""
    ids = unique_ids(name, 'categories', entries)
    return dict(
        zip(ids.tolist(), [checked_text(entry['name']) for entry in entries])
    )


def _choose_categories(
    names: Dict[int, str],
    chosen: Optional[Union[str, Sequence[str]]],
    in_label_order: bool,
    name: str,
) -> List[int]:
    """Return the ids of the categories to evaluate, in the order of labels.

    Args:
        names (dict[int, str]): Names of all categories by id.
        chosen (str or Sequence[str], optional): Names of the categories to
            evaluate; None or "all" for all.
        in_label_order (bool): Whether the order is that of ``chosen``,
            otherwise that of the file.
        name (str): Name of the file, for messages.

    Raises:
        ValueError: If a chosen category is not in the file, or its name does
            not tell which one it is.
    """
    if chosen is None or chosen == 'all':
        return list(names)
    chosen = [chosen] if isinstance(chosen, str) else list(chosen)
    wanted = {*chosen}
    lacking = sorted(wanted - {*names.values()})
    if lacking:
        raise ValueError(
            f'{name} has no category {printable_list(lacking, 8)}; it '
            f'has {printable_list(names.values(), 8)}'
        )
    keys = [key for key, text in names.items() if text in wanted]
    if not in_label_order:
        return keys
    if len(keys) > len(wanted) or len(chosen) > len(wanted):
        raise ValueError(
            f'{name}: expected classes whose names occur once, in the list '
            f'and in the file, got {printable_list(chosen, 8)}; remove what '
            'is repeated'
        )
    place = {text: i for i, text in enumerate(chosen)}
    return sorted(keys, key=lambda key: place[names[key]])


def _image_sizes(images: Sequence[dict]) -> np.ndarray:
    """Return heights and widths in pixels, of shape (I, 2)."""
    return number_table(
        'height or width',
        [(i.get('height', 0), i.get('width', 0)) for i in images],
        2,
    )


def _check_sizes(sizes: np.ndarray, image_ids: np.ndarray, name: str) -> None:
    """Raise if heights and widths are not whole numbers of pixels.

    Args:
        sizes (np.ndarray): Heights and widths, of shape (I, 2).
        image_ids (np.ndarray): Ids of the images, of shape (I,).
        name (str): Name of the file, for messages.
    """
    is_wrong = ~(
        (sizes >= 0) & (sizes <= LONGEST_SIDE) & (sizes == np.floor(sizes))
    ).all(1)
    if is_wrong.any():
        first = is_wrong.argmax()
        raise ValueError(
            f'{name}: image {image_ids[first]} has a height and width of '
            f'{sizes[first].tolist()}, expected whole numbers from 0 to '
            f'{LONGEST_SIDE} pixels ({is_wrong.sum()} such images)'
        )


def _names_to_show(names: Dict[int, str], ids: Sequence[int]) -> List[str]:
    """Return names of categories for terminals and tables.

    Categories of the same name are told apart by their ids.
    """
    shown = {key: printable(names[key]) for key in ids}
    count = Counter(shown.values())
    return [
        name if count[name] == 1 else f'{name} (id {key})'
        for key, name in shown.items()
    ]
