"""Ground truth, results and sizes of many forms, for ``sge_mmdet.evaluate``.

A result is of a whole data set. :mod:`.image_results` has the forms of one
image's detections, of which a result can consist.
"""

import os
from collections.abc import Mapping
from typing import Any, Dict, Iterable, List, Optional, Sequence, Union

import numpy as np

from ..utils.text import printable_list, printable_value
from .annotation_files import read_ground_truth
from .bins import SizeBin, size_bins
from .checked_detections import (
    check_categories,
    make_detections,
    warn_of_few_images,
)
from .image_results import find_form, get, is_table, to_array, to_instances
from .result_files import read_detections
from .result_instances import detections_from_instances
from .result_json import detections_from_coco
from .structures import Detections, GroundTruth

TAKEN = (
    "the path of a JSON file in COCO's result format or of a pickle of "
    'tools/test.py --out; a list of detections as in such a JSON file; an '
    'array of rows (image_id, x, y, width, height, score, category_id); '
    "MMDetection's results; or a dict from image ids or file names (or a list "
    'in the order of the images of the ground truth) to the detections of '
    "each image: supervision's Detections, torchvision's dict(boxes=..., "
    'scores=..., labels=...) or arrays of rows (x1, y1, x2, y2, score, label)'
)
EXAMPLE = "sge_mmdet.evaluate('val.json', {'a.jpg': detections})"


def as_ground_truth(
    source: Any,
    categories: Optional[Union[str, Sequence[str]]] = None,
    in_label_order: bool = False,
) -> GroundTruth:
    """Return ground truth, given in any of its forms.

    Args:
        source (Any): Annotation file in COCO's JSON, its content, pycocotools'
            ``COCO``, or :class:`GroundTruth`.
        categories (str or Sequence[str], optional): As in
            :func:`read_ground_truth`. Default: None.
        in_label_order (bool): As in :func:`read_ground_truth`. Default:
            False.

    Raises:
        TypeError: If it has another form.
        ValueError: As :func:`read_ground_truth`, or if categories are given
            for ground truth that has been read.
    """
    if isinstance(source, GroundTruth):
        if categories is not None:
            raise ValueError(
                'categories are chosen when ground truth is read: give them '
                'to read_ground_truth, or give the path of the annotation '
                'file in place of a GroundTruth'
            )
        return source
    source = _content(source)
    if isinstance(source, os.PathLike):
        source = os.fspath(source)
    if not isinstance(source, (str, dict)):
        raise TypeError(
            'expected ground truth to be the path of a COCO annotation file '
            "in JSON, its content as a dict, pycocotools' COCO or a "
            f"GroundTruth, such as 'val.json', got {_type_name(source)}"
        )
    return read_ground_truth(source, categories, in_label_order)


def as_detections(
    source: Any,
    ground_truth: GroundTruth,
    metric: str = 'bbox',
    name: str = 'The result',
) -> Detections:
    """Return detections for a result of any form.

    Labels of supervision, torchvision and arrays are ids of categories, or
    positions in ``ground_truth.label_ids`` if the ground truth was read with
    ``categories``. Those of MMDetection are always positions.

    Args:
        source (Any): Result of the data set.
        ground_truth (GroundTruth): Ground truth of the same images.
        metric (str): Metric; "segm" needs masks. Default: "bbox".
        name (str): Name of the result, for messages. Default: "The result".

    Returns:
        Detections: The detections.

    Raises:
        FileNotFoundError: If a file does not exist.
        TypeError: If the result has none of the forms.
        ValueError: If it is wrong or does not belong to the ground truth.
    """
    if isinstance(source, Detections):
        return source
    if isinstance(source, (str, os.PathLike)):
        return read_detections(os.fspath(source), ground_truth, metric)
    source = _annotations(source)
    masks = metric == 'segm'
    form = find_form(source)
    if form:
        raise ValueError(
            f'{name}: got the detections of one image ({form.name}); give a '
            'dict from image ids or file names to them, or a list with those '
            f'of all images, such as {EXAMPLE}'
        )
    if is_table(source, 7):
        return _from_table(to_array(source), ground_truth, masks, name)
    if isinstance(source, Mapping):
        images = _find_images(source, ground_truth, name)
        return _from_images(
            images, list(source.values()), ground_truth, masks, name
        )
    if isinstance(source, (list, tuple)):
        return _from_list(list(source), ground_truth, masks, name)
    raise TypeError(_unknown(source, name))


def as_results(
    source: Any, ground_truth: GroundTruth, metric: str, name: str
) -> Union[List[Detections], Dict[Any, Detections]]:
    """Return the detections of one result or several results of a detector.

    Args:
        source (Any): Result of any form, a list of results, or a dict of
            results by training seed.
        ground_truth (GroundTruth): Ground truth of the same images.
        metric (str): Metric; "segm" needs masks.
        name (str): Name of the detector's result, for messages.

    Returns:
        list[Detections] or dict: Detections of each result; a dict has them
        by training seed.

    Raises:
        FileNotFoundError, TypeError or ValueError: As :func:`as_detections`.
    """

    def convert(result: Any) -> Detections:
        return as_detections(result, ground_truth, metric, name)

    if isinstance(source, Mapping) and _are_results(source.values()):
        return {seed: convert(result) for seed, result in source.items()}
    if isinstance(source, (list, tuple)) and _are_results(source):
        return [convert(result) for result in source]
    return [convert(source)]


def as_bins(sizes: Any) -> List[SizeBin]:
    """Return the bins of object sizes for a name, limits or bins.

    Args:
        sizes (str or Sequence): Argument of :func:`size_bins`, or bins.

    Raises:
        ValueError: If the name is unknown, or the limits do not ascend.
    """
    if isinstance(sizes, (list, tuple)) and all(
        isinstance(bin, SizeBin) for bin in sizes
    ):
        return list(sizes)
    return size_bins(sizes)


def _content(source: Any) -> Any:
    """Return the content of pycocotools' ``COCO``; others as they are."""
    content = getattr(source, 'dataset', None)
    return content if isinstance(content, dict) else source


def _annotations(source: Any) -> Any:
    """Return the detections of pycocotools' ``COCO``; others as they are."""
    content = _content(source)
    return source if content is source else content.get('annotations', [])


def _are_results(values: Iterable[Any]) -> bool:
    """Return whether there are values, and all are results of a data set."""
    values = list(values)
    return bool(values) and all(map(_is_result, values))


def _is_result(value: Any) -> bool:
    """Return whether a value is a result of a data set, not of an image."""
    if isinstance(value, Mapping):
        return not (find_form(value) or {'image_id', 'bbox'} & value.keys())
    return (
        isinstance(value, (str, os.PathLike, Detections, list, tuple))
        or _content(value) is not value
        or is_table(value, 7)
    )


def _from_table(
    rows: np.ndarray, ground_truth: GroundTruth, masks: bool, name: str
) -> Detections:
    """Convert rows (image_id, x, y, width, height, score, category_id)."""
    if masks:
        raise ValueError(f'{name} is an array of boxes, which has no masks')
    if rows.dtype.kind not in 'iuf':
        raise ValueError(
            f'{name}: expected an array of numbers, got type {rows.dtype}'
        )
    ids = ground_truth.text_ids
    if ids.images or ids.categories:
        raise ValueError(
            f'{name} is an array of numbers, but {ground_truth.name} has ids '
            'that are text; give a list of detections or a dict from image '
            'ids to detections'
        )
    check_categories(ground_truth, rows[:, 6], name)
    detections = make_detections(
        ground_truth,
        rows[:, 0],
        rows[:, 6],
        rows[:, 1:5],
        rows[:, 5],
        name=name,
    )
    warn_of_few_images(ground_truth, detections, name)
    return detections


def _from_list(
    results: List[Any], ground_truth: GroundTruth, masks: bool, name: str
) -> Detections:
    """Convert a list of COCO's detections or of the results of images."""
    form = find_form(results[0]) if results else None
    if not results or (isinstance(results[0], Mapping) and not form):
        detections = detections_from_coco(results, ground_truth, name, masks)
        warn_of_few_images(ground_truth, detections, name)
        return detections
    if form and not form.may_have_ids:
        keys = [_plain_id(get(result, 'img_id')) for result in results]
        images = list(ground_truth.text_ids.image_numbers(keys, name))
        if len({*map(str, images)}) < len(images):
            raise ValueError(
                f'{name}: several results have the same img_id, as those of '
                'inference_detector have; give a dict from file names to the '
                f'results, such as {EXAMPLE}'
            )
    else:
        images = ground_truth.image_ids.tolist()
        if form and len(images) != len(results):
            raise ValueError(
                f'{name}: expected a list with a result for each of the '
                f'{len(images)} images of the ground truth, in their order, '
                f'got {len(results)}; give a dict from image ids or file '
                'names to the results of some images'
            )
    return _from_images(images, results, ground_truth, masks, name)


def _from_images(
    images: List[Any],
    results: List[Any],
    ground_truth: GroundTruth,
    masks: bool,
    name: str,
) -> Detections:
    """Convert the results of images with these ids."""
    forms = [find_form(result) for result in results]
    for result, form in zip(results, forms):
        if form is None:
            raise TypeError(_unknown(result, f'{name}, for an image,'))
    names = {form.name: form for form in forms if form}
    if len(names) > 1:
        raise ValueError(
            f'{name}: expected the results of all images to have the same '
            f'form, got {" and ".join(names)}'
        )
    by_id = not ground_truth.has_known_labels and all(
        form.may_have_ids for form in names.values()
    )
    instances = [
        to_instances(result, form, masks, f'{name}, image {image}')
        for image, result, form in zip(images, results, forms)
        if form
    ]
    return detections_from_instances(
        [
            dict(img_id=image, pred_instances=one)
            for image, one in zip(images, instances)
        ],
        ground_truth,
        name,
        masks,
        by_id=by_id,
    )


def _find_images(
    keys: Iterable[Any], ground_truth: GroundTruth, name: str
) -> List[int]:
    """Return the ids of the images that ids or file names stand for.

    Raises:
        ValueError: If an image is not in the ground truth, or several have
            the same file name.
    """
    ids = ground_truth.image_ids.tolist()
    texts = ground_truth.text_ids.image_texts(ids)
    known = {text: [key] for text, key in zip(texts, ids)}
    by_name: Dict[str, List[int]] = {}
    for key, text in zip(ids, ground_truth.file_names):
        by_name.setdefault(text, []).append(key)
    images = []
    for key in keys:
        if isinstance(key, (str, os.PathLike)):
            text = str(os.fspath(key))
            found = by_name.get(text, known.get(text, []))
        else:
            found = known.get(_plain_id(key), [])
        if len(found) != 1:
            why = (
                f'is the file name of {len(found)} images of'
                if found
                else 'is not in'
            )
            raise ValueError(
                f'{name} has a result of image {printable_value(key)}, which '
                f'{why} the ground truth; expected the id of an image, such '
                f'as {printable_list(map(str, texts), 2)}, or the file name '
                f'of one image, such as {printable_list(by_name, 2)}'
            )
        images += found
    return images


def _plain_id(key: Any) -> Any:
    """Return a whole number of numpy as one of Python."""
    return int(key) if isinstance(key, np.integer) else key


def _type_name(value: Any) -> str:
    kind = type(value)
    if kind.__module__ == 'builtins':
        return kind.__qualname__
    return f'{kind.__module__}.{kind.__qualname__}'


def _unknown(value: Any, name: str) -> str:
    """Return a message about a value that has none of the forms."""
    shape = getattr(value, 'shape', None)
    shown = _type_name(value) + (
        f' of shape {tuple(shape)}' if shape is not None else ''
    )
    return f'{name} is of type {shown}, expected {TAKEN}. Example: {EXAMPLE}'
