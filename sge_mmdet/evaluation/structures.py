"""Ground truth and detections as columns, checked on the way in."""

import warnings
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

import numpy as np

from ..utils import load_json, printable, printable_list
from ..utils.text import printable_value
from .entries import (
    checked_text,
    file_name,
    find_ids,
    id_column,
    number_table,
    unique_ids,
)
from .masks import check_annotated_masks, rle_areas

# No image and no box is as large, in pixels. Areas beyond are no numbers that
# can be told apart, and masks of such images would fill any memory.
LONGEST_SIDE = 100_000
FARTHEST = 1e9
# Twice as many as in the largest data set there is. Each has figures by size.
MOST_CATEGORIES = 50_000


@dataclass(frozen=True)
class GroundTruth:
    """The objects of a data set.

    Attributes:
        image_ids: Ids of all images; shape (I,).
        image_sizes: Their heights and widths in pixels; shape (I, 2).
        category_ids: Ids of the categories that are evaluated; shape (K,).
        category_names: Their names; K of them.
        label_ids: The same ids in the file's order, which MMDetection counts
            its labels by; shape (K,).
        image: Index of each object's image; shape (n,).
        category: Index of each object's category; shape (n,).
        box: x, y, width and height in pixels; shape (n, 4).
        area: In pixels; shape (n,).
        crowd: Whether it is a crowd, which detections may hit for free.
        segmentation: Polygons or RLE of each object, where all have one.
        file_names: Of the images.
        name: Of the file, for messages.
    """

    image_ids: np.ndarray
    image_sizes: np.ndarray
    category_ids: np.ndarray
    category_names: List[str]
    label_ids: np.ndarray
    image: np.ndarray
    category: np.ndarray
    box: np.ndarray
    area: np.ndarray
    crowd: np.ndarray
    segmentation: Optional[list]
    file_names: List[str]
    name: str = 'The ground truth'

    @cached_property
    def masks(self) -> list:
        """list: ``segmentation``, checked, for whoever evaluates masks.

        Raises:
            ValueError: If an object has none, or one that cannot be drawn.
        """
        if self.segmentation is None and len(self.image):
            raise ValueError(
                f'{self.name} has objects without masks; '
                'metric="segm" needs one for each'
            )
        masks = self.segmentation or []
        check_annotated_masks(masks, self.image_sizes[self.image], self.name)
        return masks

    def with_box_areas(self) -> 'GroundTruth':
        """Return the same with the areas of boxes, not of annotations."""
        return replace(self, area=self.box[:, 2] * self.box[:, 3])


@dataclass(frozen=True)
class Detections:
    """Detections in a data set; columns as in :class:`GroundTruth`.

    Attributes:
        score: Shape (n,).
        area: Of the box, or of the mask where masks are evaluated.
    """

    image: np.ndarray
    category: np.ndarray
    box: np.ndarray
    score: np.ndarray
    area: np.ndarray
    segmentation: Optional[list] = None


def read_ground_truth(
    source: Union[str, Path, dict], categories: Optional[Sequence[str]] = None
) -> GroundTruth:
    """Read ground truth in COCO's format.

    Args:
        source (str, Path or dict): File, or what it holds.
        categories (Sequence[str], optional): Names of those to evaluate.
            Default: None, all of them.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not COCO ground truth, with what is wrong.
    """
    name = 'The ground truth' if isinstance(source, dict) else str(source)
    data = source if isinstance(source, dict) else load_json(source)
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(data, dict) or not isinstance(
            data.get(key), (list, tuple)
        ):
            raise ValueError(
                f'{name} is not a COCO annotation file: it has no list "{key}"'
            )
    if len(data['categories']) > MOST_CATEGORIES:
        raise ValueError(
            f'{name} has {len(data["categories"])} categories; '
            f'at most {MOST_CATEGORIES} are evaluated'
        )
    try:
        image_ids = unique_ids(name, 'images', data['images'])
        unique_ids(name, 'annotations', data['annotations'])
        all_categories = dict(
            zip(
                unique_ids(name, 'categories', data['categories']).tolist(),
                (
                    checked_text(category['name'])
                    for category in data['categories']
                ),
            )
        )
        wanted = {*(categories or ())}
        chosen = sorted(
            key
            for key, text in all_categories.items()
            if categories is None or text in wanted
        )
        if categories is not None:
            lacking = sorted(wanted - {*all_categories.values()})
            if lacking:
                raise ValueError(
                    f'{name} has no category {printable_list(lacking, 8)}; it '
                    f'has {printable_list(all_categories.values(), 8)}'
                )
        annotations = data['annotations']
        sizes = number_table(
            'height or width',
            [(i.get('height', 0), i.get('width', 0)) for i in data['images']],
            2,
        )
        image = find_ids(
            image_ids,
            id_column('image_id', [a['image_id'] for a in annotations]),
        )
        category = id_column(
            'category_id', [a['category_id'] for a in annotations]
        )
        box = number_table(
            'bbox, which is [x, y, width, height]',
            [a['bbox'] for a in annotations],
            4,
        )
        areas = [a.get('area') for a in annotations]
        has_none = np.array([value is None for value in areas], bool)
        area = number_table(
            'area', [0 if value is None else value for value in areas], 1
        )[:, 0]
        crowd = [a.get('iscrowd', 0) for a in annotations]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f'{name} is not a COCO annotation file: an entry '
            f'lacks or has a wrong {error}'
        ) from error
    good_size = (
        (sizes >= 0) & (sizes <= LONGEST_SIDE) & (sizes == np.floor(sizes))
    ).all(1)
    if not good_size.all():
        first = (~good_size).argmax()
        raise ValueError(
            f'{name}: image {image_ids[first]} has a height and width of '
            f'{sizes[first].tolist()}, not of 0 to {LONGEST_SIDE} whole '
            f'pixels ({(~good_size).sum()} such)'
        )
    for what, bad in (
        ('an image that it lacks', image < 0),
        ('a category that it lacks', ~np.isin(category, list(all_categories))),
        (
            f'a box that is not four finite numbers, to {FARTHEST:.0e} '
            'pixels, of a size of 0 or more',
            ~_good_boxes(box),
        ),
        ('an area that is not 0 or more', ~((area >= 0) & np.isfinite(area))),
        (
            'an iscrowd that is not 0 or 1',
            np.array([flag not in (0, 1) for flag in crowd], bool),
        ),
    ):
        if bad.any():
            raise ValueError(
                f'{name}: annotation {annotations[bad.argmax()]["id"]} '
                f'has {what} ({bad.sum()} such)'
            )
    if has_none.any():
        warnings.warn(
            f'{name}: {has_none.sum()} annotations have no '
            'area; that of their box is taken',
            stacklevel=2,
        )
        area = np.where(has_none, box[:, 2] * box[:, 3], area)
    keep = np.flatnonzero(np.isin(category, chosen))
    segmentation = [annotations[i].get('segmentation') for i in keep]
    return GroundTruth(
        image_ids,
        sizes.astype(int),
        np.array(chosen, int),
        _names_to_show(all_categories, chosen),
        np.array(
            [
                key
                for key, text in all_categories.items()
                if categories is None or text in wanted
            ],
            int,
        ),
        image[keep],
        np.searchsorted(chosen, category[keep]),
        box[keep],
        area[keep],
        np.array([crowd[i] for i in keep], bool),
        segmentation if all(segmentation) else None,
        [file_name(image) for image in data['images']],
        name,
    )


def make_detections(
    ground_truth: GroundTruth,
    image_ids: Any,
    category_ids: Any,
    box: Any,
    score: Any,
    segmentation: Optional[list] = None,
    name: str = 'The result',
    drop_bad: bool = False,
) -> Detections:
    """Check detections and bring them to the order of the ground truth.

    Args:
        ground_truth (GroundTruth): What they are of.
        image_ids (array): Shape (n,).
        category_ids (array): Shape (n,). Detections of categories that are
            not evaluated are left out.
        box (array): x, y, width, height; shape (n, 4).
        score (array): Shape (n,).
        segmentation (list, optional): RLE of each, if masks are evaluated,
            which then give the areas. Default: None.
        name (str): Of the result, for messages.
        drop_bad (bool): Whether to leave out, with a warning, detections that
            are not finite numbers, as a diverged model makes them. Default:
            False.

    Raises:
        ValueError: If a detection is of an image that the ground truth lacks,
            has a number that is not finite, or a negative size.
    """
    try:
        box = number_table('bbox, which is [x, y, width, height]', box, 4)
        score = number_table('score', score, 1)[:, 0]
        image_ids = id_column('image_id', image_ids)
        category = find_ids(
            ground_truth.category_ids, id_column('category_id', category_ids)
        )
    except TypeError as error:
        raise ValueError(
            f'{name} is not a COCO result file: a detection has '
            f'a wrong {error}'
        ) from error
    lengths = {
        len(column)
        for column in (image_ids, category, box, score)
        + (() if segmentation is None else (segmentation,))
    }
    if len(lengths) > 1:
        raise ValueError(
            f'{name} has a box, score, label or mask too many or '
            'too few: there are '
            f'{" and ".join(map(str, sorted(lengths)))} of them'
        )
    image = find_ids(ground_truth.image_ids, image_ids)
    if (image < 0).any():
        first = image_ids[(image < 0).argmax()]
        raise ValueError(
            f'{name} is not of this ground truth: it has detections in image '
            f'{first}, which that lacks ({(image < 0).sum()} such)'
        )
    good = np.isfinite(score) & _good_boxes(box)
    if not good.all():
        first = (~good).argmax()
        text = (
            f'{name}: {(~good).sum()} detections have a box or score that '
            'is not finite, or beyond '
            f'{FARTHEST:.0e} pixels, or a negative size; the first is '
            f'number {first}: bbox {box[first].tolist()}, score '
            f'{score[first]}'
        )
        if not drop_bad:
            raise ValueError(text)
        warnings.warn(f'{text}. They are left out', stacklevel=2)
    keep = good & (category >= 0)
    area = box[:, 2] * box[:, 3]
    if segmentation is not None:
        area = rle_areas(
            segmentation,
            ground_truth.image_sizes[image],
            f'{name}, of {ground_truth.name}',
        )
        segmentation = [segmentation[i] for i in np.flatnonzero(keep)]
    return Detections(
        image[keep],
        category[keep],
        box[keep],
        score[keep],
        area[keep],
        segmentation,
    )


def detections_from_coco(
    results: Any, ground_truth: GroundTruth, name: str, masks: bool = False
) -> Detections:
    """Read detections in COCO's result format.

    Args:
        results (list[dict]): As MMDetection's ``outfile_prefix`` writes them.
        ground_truth (GroundTruth): What they are of.
        name (str): Of the file, for messages.
        masks (bool): Whether masks are evaluated. Default: False.

    Raises:
        ValueError: As :func:`make_detections`, or if a key is missing.
    """
    if not isinstance(results, list):
        raise ValueError(
            f'{name} is not a COCO result file, which is a list '
            f'of detections, but a {type(results).__name__}'
        )
    try:
        columns = [
            [result[key] for result in results]
            for key in ('image_id', 'category_id', 'score')
        ]
        masks_found = (
            [result['segmentation'] for result in results] if masks else None
        )
        box = (
            [result['bbox'] for result in results]
            if not masks
            else [result.get('bbox', (0, 0, 0, 0)) for result in results]
        )
        check_categories(ground_truth, columns[1], name)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f'{name} is not a COCO result file: a detection '
            f'lacks or has a wrong {error}'
        ) from error
    return make_detections(
        ground_truth,
        columns[0],
        columns[1],
        box,
        columns[2],
        masks_found,
        name,
    )


def corners_to_sizes(boxes: Sequence[np.ndarray]) -> np.ndarray:
    """Return boxes of x1, y1, x2, y2 as x, y, width, height.

    Args:
        boxes (Sequence[np.ndarray]): Of each image; shape (n, 4) each.

    Returns:
        np.ndarray: Of all images, in double precision; shape (N, 4).
    """
    box = np.concatenate([np.zeros((0, 4)), *boxes])
    return np.concatenate([box[:, :2], box[:, 2:] - box[:, :2]], 1)


def check_categories(
    ground_truth: GroundTruth, ids: Sequence[int], name: str
) -> None:
    """Raise if the ground truth lacks a category.

    Args:
        ground_truth (GroundTruth): The ground truth.
        ids (Sequence[int]): Ids of detections' categories.
        name (str): Name of their file, for messages.

    Raises:
        TypeError: If an id is no number.
        ValueError: If a category is lacking.
    """
    # In numpy: Python takes quadratic time for a set of numbers that have
    # the same hash, as multiples of 2^61 - 1 have.
    column = id_column('category_id', ids)
    unknown = np.unique(column[find_ids(ground_truth.label_ids, column) < 0])
    if len(unknown):
        shown = printable_list(map(printable_value, unknown.tolist()), 8)
        raise ValueError(
            f'{name} has detections of category {shown}, which '
            'the ground truth lacks'
        )


def _names_to_show(names: Dict[int, str], ids: Sequence[int]) -> List[str]:
    """Return names of categories as a terminal and a table may hold them.

    Two of the same name are told apart by their ids.
    """
    shown = {key: printable(names[key]) for key in ids}
    count = Counter(shown.values())
    return [
        name if count[name] == 1 else f'{name} (id {key})'
        for key, name in shown.items()
    ]


def _good_boxes(box: np.ndarray) -> np.ndarray:
    # Whatever is not a number is not below anything.
    return np.logical_and(
        (abs(box) <= FARTHEST).all(1), (box[:, 2:] >= 0).all(1)
    )
