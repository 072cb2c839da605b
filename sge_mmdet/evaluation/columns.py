"""Ground truth and detections as columns, checked on the way in."""
import contextlib
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

import numpy as np

from ..utils import load_json
from .masks import check_annotated_masks, rle_areas

# The largest id for which a table of all ids up to it is worth its memory.
MOST_TABLED = 10_000_000
# No image and no box is as large, in pixels. Areas beyond are no numbers that
# can be told apart, and masks of such images would fill any memory.
LONGEST_SIDE = 100_000
FARTHEST = 1e9
# Of a category, in letters; more are not shown.
LONGEST_NAME = 200
# Engines count in floating point, which tells whole numbers apart up to this.
LARGEST_ID = 2**53


@dataclass(frozen=True)
class Truth:
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
            raise ValueError(f'{self.name} has objects without masks; '
                             'metric="segm" needs one for each')
        masks = self.segmentation or []
        check_annotated_masks(masks, self.image_sizes[self.image], self.name)
        return masks

    def with_box_areas(self) -> 'Truth':
        """Return the same with the areas of boxes, not of annotations."""
        return replace(self, area=self.box[:, 2] * self.box[:, 3])


@dataclass(frozen=True)
class Detections:
    """Detections in a data set; columns as in :class:`Truth`.

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


def read_truth(source: Union[str, Path, dict],
               categories: Optional[Sequence[str]] = None) -> Truth:
    """Read ground truth in COCO's format.

    Args:
        source (str, Path or dict): File, or what it holds.
        categories (Sequence[str], optional): Names of those to evaluate.
            Default: None, all of them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not COCO ground truth, with what is wrong.
    """
    name = 'The ground truth' if isinstance(source, dict) else str(source)
    data = source if isinstance(source, dict) else load_json(source)
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(data, dict) or not isinstance(
                data.get(key), (list, tuple)):
            raise ValueError(f'{name} is not a COCO annotation file: it has no'
                             f' list "{key}"')
    try:
        image_ids = _unique_ids(name, 'images', data['images'])
        _unique_ids(name, 'annotations', data['annotations'])
        all_categories = dict(zip(
            _unique_ids(name, 'categories', data['categories']).tolist(),
            (_checked_text(category['name'])
             for category in data['categories'])))
        chosen = sorted(
            key for key, text in all_categories.items()
            if categories is None or text in categories)
        if categories is not None:
            lacking = sorted({*categories} - {*all_categories.values()})
            if lacking:
                raise ValueError(f'{name} has no category '
                                 f'{", ".join(lacking)}; it has '
                                 f'{", ".join(all_categories.values())}')
        annotations = data['annotations']
        sizes = _numbers('height or width', [
            (i.get('height', 0), i.get('width', 0)) for i in data['images']
        ], 2)
        image = _indices(image_ids, _ids('image_id', [
            a['image_id'] for a in annotations]))
        category = _ids('category_id', [a['category_id']
                                        for a in annotations])
        box = _numbers('bbox, which is [x, y, width, height]',
                       [a['bbox'] for a in annotations], 4)
        area = _numbers('area', [a.get('area', np.nan)
                                 for a in annotations], 1)[:, 0]
        crowd = [a.get('iscrowd', 0) for a in annotations]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f'{name} is not a COCO annotation file: an entry '
                         f'lacks or has a wrong {error}') from error
    good_size = (sizes >= 0).all(1) & (sizes <= LONGEST_SIDE).all(1)
    if not good_size.all():
        first = (~good_size).argmax()
        raise ValueError(
            f'{name}: image {image_ids[first]} has a height and width of '
            f'{sizes[first].tolist()}, not of 0 to {LONGEST_SIDE} pixels '
            f'({(~good_size).sum()} such)')
    for what, bad in (
            ('an image that it lacks', image < 0),
            ('a category that it lacks',
             ~np.isin(category, list(all_categories))),
            (f'a box that is not four finite numbers, to {FARTHEST:.0e} '
             'pixels, of a size of 0 or more', ~_good_boxes(box)),
            ('an area that is not 0 or more', (area < 0) | np.isinf(area)),
            ('an iscrowd that is not 0 or 1',
             np.array([flag not in (0, 1) for flag in crowd], bool))):
        if bad.any():
            raise ValueError(
                f'{name}: annotation {annotations[bad.argmax()].get("id")} '
                f'has {what} ({bad.sum()} such)')
    if np.isnan(area).any():
        warnings.warn(f'{name}: {np.isnan(area).sum()} annotations have no '
                      'area; that of their box is taken', stacklevel=2)
        area = np.where(np.isnan(area), box[:, 2] * box[:, 3], area)
    keep = np.flatnonzero(np.isin(category, chosen))
    segmentation = [annotations[i].get('segmentation') for i in keep]
    return Truth(
        image_ids,
        sizes.astype(int),
        np.array(chosen, int), _names_to_show(all_categories, chosen),
        np.array([key for key in all_categories if key in chosen], int),
        image[keep], np.searchsorted(chosen, category[keep]), box[keep],
        area[keep],
        np.array([crowd[i] for i in keep], bool),
        segmentation if all(segmentation) else None,
        [str(image.get('file_name', '')) for image in data['images']], name)


def make_detections(truth: Truth,
                    image_ids: Any,
                    category_ids: Any,
                    box: Any,
                    score: Any,
                    segmentation: Optional[list] = None,
                    name: str = 'The result',
                    drop_bad: bool = False) -> Detections:
    """Check detections and bring them to the order of the ground truth.

    Args:
        truth (Truth): What they are of.
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
        box = _numbers('bbox, which is [x, y, width, height]', box, 4)
        score = _numbers('score', score, 1)[:, 0]
        image_ids = _ids('image_id', image_ids)
        category = _indices(truth.category_ids,
                            _ids('category_id', category_ids))
    except TypeError as error:
        raise ValueError(f'{name} is not a COCO result file: a detection has '
                         f'a wrong {error}') from error
    lengths = {len(column) for column in (image_ids, category, box, score) + (
        () if segmentation is None else (segmentation, ))}
    if len(lengths) > 1:
        raise ValueError(f'{name} has a box, score, label or mask too many or '
                         'too few: there are '
                         f'{" and ".join(map(str, sorted(lengths)))} of them')
    image = _indices(truth.image_ids, image_ids)
    if (image < 0).any():
        first = image_ids[(image < 0).argmax()]
        raise ValueError(
            f'{name} is not of this ground truth: it has detections in image '
            f'{first}, which that lacks ({(image < 0).sum()} such)')
    good = np.isfinite(score) & _good_boxes(box)
    if not good.all():
        first = (~good).argmax()
        text = (f'{name}: {(~good).sum()} detections have a box or score that '
                'is not finite, or beyond '
                f'{FARTHEST:.0e} pixels, or a negative size; the first is '
                f'number {first}: bbox {box[first].tolist()}, score '
                f'{score[first]}')
        if not drop_bad:
            raise ValueError(text)
        warnings.warn(f'{text}. They are left out', stacklevel=2)
    keep = good & (category >= 0)
    area = box[:, 2] * box[:, 3]
    if segmentation is not None:
        area = rle_areas(segmentation, truth.image_sizes[image],
                         f'{name}, of {truth.name}')
        segmentation = [segmentation[i] for i in np.flatnonzero(keep)]
    return Detections(image[keep], category[keep], box[keep], score[keep],
                      area[keep], segmentation)


def detections_from_coco(results: Any, truth: Truth, name: str,
                         masks: bool = False) -> Detections:
    """Read detections in COCO's result format.

    Args:
        results (list[dict]): As MMDetection's ``outfile_prefix`` writes them.
        truth (Truth): What they are of.
        name (str): Of the file, for messages.
        masks (bool): Whether masks are evaluated. Default: False.

    Raises:
        ValueError: As :func:`make_detections`, or if a key is missing.
    """
    if not isinstance(results, list):
        raise ValueError(f'{name} is not a COCO result file, which is a list '
                         f'of detections, but a {type(results).__name__}')
    try:
        columns = [[result[key] for result in results]
                   for key in ('image_id', 'category_id', 'score')]
        masks_found = ([result['segmentation'] for result in results]
                       if masks else None)
        box = [result['bbox'] for result in results] if not masks else [
            result.get('bbox', (0, 0, 0, 0)) for result in results]
        check_categories(truth, columns[1], name)
    except (KeyError, TypeError) as error:
        raise ValueError(f'{name} is not a COCO result file: a detection '
                         f'lacks or has a wrong {error}') from error
    return make_detections(truth, columns[0], columns[1], box, columns[2],
                           masks_found, name)


def corners_to_sizes(boxes: Sequence[np.ndarray]) -> np.ndarray:
    """Return boxes of x1, y1, x2, y2 as x, y, width, height.

    Args:
        boxes (Sequence[np.ndarray]): Of each image; shape (n, 4) each.

    Returns:
        np.ndarray: Of all images, in double precision; shape (N, 4).
    """
    box = np.concatenate([np.zeros((0, 4)), *boxes])
    return np.concatenate([box[:, :2], box[:, 2:] - box[:, :2]], 1)


def check_categories(truth: Truth, ids: Sequence[int], name: str) -> None:
    """Raise a ValueError if the ground truth lacks a category.

    Args:
        truth (Truth): The ground truth.
        ids (Sequence[int]): Ids of detections' categories.
        name (str): Of their file.
    """
    unknown = {*ids} - {*truth.label_ids.tolist()}
    if unknown:
        shown = ', '.join(sorted(f'{value!r:.40}' for value in unknown)[:8])
        raise ValueError(f'{name} has detections of category {shown}, which '
                         'the ground truth lacks')


def _unique_ids(name: str, key: str, entries: Sequence[dict]) -> np.ndarray:
    ids = [entry['id'] for entry in entries]
    odd = [value for value in ids if not isinstance(value, int)
           or abs(value) > LARGEST_ID]
    if odd:
        raise ValueError(f'{name}: ids of {key} are whole numbers, got '
                         f'{odd[0]!r:.80}')
    twice = [value for value, count in Counter(ids).items() if count > 1]
    if twice:
        raise ValueError(f'{name}: {len(twice)} ids of {key} are there more '
                         f'than once, such as {twice[0]}')
    return np.array(ids, int)


def _indices(known: np.ndarray, ids: Any) -> np.ndarray:
    """Return where ids stand among the known ones; -1 where they do not."""
    ids = np.asarray(ids)
    if not len(known) or not len(ids):
        return np.full(len(ids), -1)
    most = known.max()
    if ids.dtype.kind == 'i' and 0 <= known.min() and most < MOST_TABLED:
        # Several times faster than the search below.
        table = np.full(most + 2, -1)
        table[known] = np.arange(len(known))
        return table[np.where((ids < 0) | (ids > most), most + 1, ids)]
    order = np.argsort(known, kind='stable')
    at = np.minimum(np.searchsorted(known[order], ids), len(known) - 1)
    return np.where(known[order][at] == ids, order[at], -1)


def _ids(what: str, values: Any) -> np.ndarray:
    """Return ids as numbers; a TypeError says what is wrong."""
    with contextlib.suppress(ValueError):  # Of lists of different lengths.
        ids = np.asarray(values if len(values) else np.zeros(0, int))
        if ids.ndim == 1 and ids.dtype.kind in 'iuf':
            return ids
    odd = next((value for value in values if not isinstance(
        value, (int, float, np.number))), values)
    raise TypeError(f'{what}: each is a whole number, got {odd!r:.80}')


def _numbers(what: str, values: Any, columns: int) -> np.ndarray:
    """Return a table of numbers; a TypeError says what is wrong."""
    try:
        table = np.asarray(values, float)
        if len(table) == 0:
            return np.zeros((0, columns))
        if table.shape == (len(table), columns)[:min(2, columns)]:
            return table.reshape(-1, columns)
        reason = f'of shape {table.shape}'
    except (OverflowError, TypeError, ValueError) as error:
        reason = str(error)
    raise TypeError(f'{what}: {reason}')


def _names_to_show(names: Dict[int, str], ids: Sequence[int]) -> List[str]:
    """Return names of categories as a terminal and a table may hold them.

    Two of the same name are told apart by their ids.
    """
    shown = {key: ''.join(letter if letter.isprintable() else '?'
                          for letter in names[key][:LONGEST_NAME])
             for key in ids}
    count = Counter(shown.values())
    return [name if count[name] == 1 else f'{name} (id {key})'
            for key, name in shown.items()]


def _checked_text(name: Any) -> str:
    """Return a name; a TypeError where it holds half a character."""
    try:
        return str(name).encode().decode()
    except UnicodeError as error:
        raise TypeError(f'name: {error}') from error


def _good_boxes(box: np.ndarray) -> np.ndarray:
    # Whatever is not a number is not below anything.
    return (abs(box) <= FARTHEST).all(1) & (box[:, 2:] >= 0).all(1)
