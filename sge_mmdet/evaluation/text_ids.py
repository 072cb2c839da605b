"""Ids of images and categories that are text, such as those of VOC."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Dict, List, Sequence, Tuple

from ..utils.text import printable_value

# Lists of an image that hold ids of categories.
CATEGORY_LISTS = ('neg_category_ids', 'not_exhaustive_category_ids')
# A number that no image and no category has.
UNKNOWN = -1


@dataclass(frozen=True)
class TextIds:
    """Numbers that stand for ids of which some are text.

    Attributes:
        images: Number of each image by its id in the file; {} if all ids are
            numbers, which stand for themselves.
        categories: Number of each category by its id, in the same way.
    """

    images: Dict[Any, int] = field(default_factory=dict)
    categories: Dict[Any, int] = field(default_factory=dict)

    def image_numbers(self, ids: Sequence[Any], name: str) -> Sequence[Any]:
        """Return the numbers of images.

        Args:
            ids (Sequence): Ids in a result file.
            name (str): Name of the file, for messages.

        Raises:
            ValueError: If the ground truth does not have an image.
        """
        return _numbers(self.images, ids, name, 'image')

    def category_numbers(self, ids: Sequence[Any], name: str) -> Sequence[Any]:
        """Return the numbers of categories, as :meth:`image_numbers`."""
        return _numbers(self.categories, ids, name, 'category')

    def image_texts(self, numbers: Sequence[int]) -> List[Any]:
        """Return the ids in the file of images with these numbers.

        Args:
            numbers (Sequence[int]): Numbers of images.
        """
        texts = {number: key for key, number in self.images.items()}
        return [texts.get(number, number) for number in numbers]


def number_ids(data: dict, name: str) -> Tuple[dict, TextIds]:
    """Return ground truth whose ids are numbers instead of text.

    Data sets such as VOC, CrowdHuman and Open Images have text. The numbers
    have its order, which decides which detection comes first among equal
    scores.

    Args:
        data (dict): Content of an annotation file in COCO's format.
        name (str): Name of the file, for messages.

    Returns:
        tuple[dict, TextIds]: The content, and the numbers. The content is the
        same object where no id is text.

    Raises:
        AttributeError, KeyError or TypeError: If an entry has no id, or is no
            entry.
        ValueError: If an id that is text occurs twice.
    """
    images, categories, annotations = (
        data[key] for key in ('images', 'categories', 'annotations')
    )
    ids = TextIds(
        _order(images, 'images', name), _order(categories, 'categories', name)
    )
    if any(type(entry.get('id')) is str for entry in annotations):
        _check_unique(annotations, 'annotations', name)
        annotations = [
            dict(entry, id=i) for i, entry in enumerate(annotations, 1)
        ]
    if ids.images:
        images = [dict(one, id=ids.images[one['id']]) for one in images]
        annotations = [
            dict(one, image_id=_known(ids.images, one['image_id']))
            for one in annotations
        ]
    if ids.categories:
        categories = [
            dict(one, id=ids.categories[one['id']]) for one in categories
        ]
        annotations = [
            dict(one, category_id=_known(ids.categories, one['category_id']))
            for one in annotations
        ]
        images = [_with_lists(one, ids.categories) for one in images]
    if annotations is data['annotations'] and images is data['images']:
        return data, ids
    return dict(
        data, images=images, categories=categories, annotations=annotations
    ), ids


def _order(entries: Sequence[dict], key: str, name: str) -> Dict[Any, int]:
    """Return the numbers of ids of which some are text; {} if none is."""
    kinds = {type(entry['id']) for entry in entries}
    if str not in kinds or not kinds <= {str, int}:
        return {}
    _check_unique(entries, key, name)
    ids = sorted(
        (entry['id'] for entry in entries),
        key=lambda value: (str(value), type(value) is str),
    )
    return {value: i for i, value in enumerate(ids, 1)}


def _check_unique(entries: Sequence[dict], key: str, name: str) -> None:
    """Raise if an id occurs twice."""
    counts = Counter(
        entry['id'] for entry in entries if type(entry.get('id')) in (str, int)
    )
    repeated = [value for value, count in counts.items() if count > 1]
    if repeated:
        raise ValueError(
            f'{name}: expected unique ids of {key}; {len(repeated)} ids occur '
            f'more than once, such as {printable_value(repeated[0])}'
        )


def _known(numbers: Dict[Any, int], value: Any) -> int:
    """Return the number of an id; one that nothing has if it is unknown."""
    is_key = type(value) in (str, int)
    return numbers.get(value, UNKNOWN) if is_key else UNKNOWN


def _with_lists(image: dict, numbers: Dict[Any, int]) -> dict:
    """Return an image with numbers in its lists of categories."""
    lists = {
        key: [_known(numbers, value) for value in image[key]]
        for key in CATEGORY_LISTS
        if isinstance(image.get(key), list)
    }
    return dict(image, **lists) if lists else image


def _numbers(
    numbers: Dict[Any, int], ids: Sequence[Any], name: str, what: str
) -> Sequence[Any]:
    if not numbers:
        return ids
    found = [_known(numbers, value) for value in ids]
    if UNKNOWN in found:
        value = ids[found.index(UNKNOWN)]
        raise ValueError(
            f'{name} has detections of {what} {printable_value(value)}, which '
            'the ground truth does not have; it has ids such as '
            f'{printable_value(next(iter(numbers)))}. Give the annotation '
            'file that the detector was tested on'
        )
    return found
