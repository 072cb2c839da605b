"""Results of tiles, merged into the images that the tiles were cut from.

Large images are cut into tiles that overlap. An object in an overlap is
detected in several tiles, so that the detections of a source image are merged
before they are evaluated.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import (
    Any,
    Dict,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np
from pycocotools import mask as mask_utils

from ..utils import load_json, printable
from ..utils.text import printable_value
from .annotation_files import read_ground_truth
from .coco_format import category_entries
from .settings import check_choice
from .structures import Detections, GroundTruth
from .tile_masks import place_masks

# Forms of the names of tiles. "x" and "y" are the place of the tile's upper
# left corner in its source image, in pixels.
FORMS = {
    # SAHI: NAME_X_Y_X2_Y2.
    'sahi': r'(?P<name>.+)_(?P<x>\d+)_(?P<y>\d+)_\d+_\d+',
    # DOTA's tools and MMRotate: NAME__RATE__X___Y or NAME__SIZE__X___Y.
    'dota': r'(?P<name>.+)__(?P<rate>[\d.]+)__(?P<x>\d+)___(?P<y>\d+)',
    'name_x_y': r'(?P<name>.+)_(?P<x>\d+)_(?P<y>\d+)',
}
# Largest number in the place of the rate that is one. Larger ones are the
# size of the tiles.
LARGEST_RATE = 8
METHODS = ('nmm', 'nms')
OVERLAPS = ('ios', 'iou')


class Merging(NamedTuple):
    """How detections of overlapping tiles are merged.

    Attributes:
        method: "nmm", greedy non-maximum merging as in SAHI: a detection
            becomes the box around itself and those that it overlaps; or
            "nms": it stays as it is, and those are left out.
        overlap: "ios", intersection over the smaller box; or "iou",
            intersection over union.
        threshold: Overlap from which two detections are of the same object.
    """

    method: str = 'nmm'
    overlap: str = 'ios'
    threshold: float = 0.5


@dataclass(frozen=True)
class Tiles:
    """Tiles of the images of a data set.

    Attributes:
        ground_truth: The tiles as images without objects, to read results.
        source: Index of the source image of each tile, of shape (tiles,).
        offset: Place (x, y) of each tile in its source image, in pixels of
            the tile; shape (tiles, 2).
        rate: Size of each tile's pixels relative to those of its source
            image: 0.5 for a tile of an image at half its size; shape
            (tiles,).
        source_sizes: Heights and widths of the source images, of shape
            (images, 2).
    """

    ground_truth: GroundTruth
    source: np.ndarray
    offset: np.ndarray
    rate: np.ndarray
    source_sizes: np.ndarray


def read_tiles(
    path: Union[str, Path],
    ground_truth: GroundTruth,
    pattern: Optional[str] = None,
) -> Tiles:
    """Read where tiles lie in the images of a data set.

    Args:
        path (str or Path): JSON file with "images" as in COCO's annotation
            format: the tiles, with "id", "file_name", "width" and "height".
            An entry may have "source" (file name or id of its source image),
            "x" and "y"; otherwise they come from the file name.
        ground_truth (GroundTruth): Ground truth in the coordinates of the
            source images.
        pattern (str, optional): Form of the tiles' file names without
            extension: "sahi", "dota", "name_x_y", or a regular expression
            with groups ``(?P<name>...)``, ``(?P<x>...)`` and ``(?P<y>...)``.
            Default: None, the first of the three forms that fits all names.

    Returns:
        Tiles: The tiles.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If a tile has no place, or its source image is unknown.
    """
    data = load_json(path)
    name = printable(str(path))
    entries = data.get('images') if isinstance(data, dict) else None
    if not isinstance(entries, list):
        raise ValueError(
            f'{name}: expected a JSON file with a list "images" of the tiles, '
            'such as the annotation file that the detector was tested on, '
            f'got {printable_value(data)}'
        )
    tiles = read_ground_truth(
        dict(
            images=entries,
            categories=category_entries(ground_truth),
            annotations=[],
        ),
        name=str(path),
    )
    sources = _Sources(ground_truth)
    if entries and all('source' in entry for entry in entries):
        places = [_from_entry(entry, sources, name) for entry in entries]
    else:
        places = _from_names(tiles.file_names, sources, pattern, name)
    table = np.array(places, float).reshape(-1, 4)
    return Tiles(
        replace(tiles, label_ids=ground_truth.label_ids),
        table[:, 0].astype(int),
        table[:, 1:3],
        table[:, 3],
        ground_truth.image_sizes,
    )


class _Sources:
    """Source images, found by file name or id.

    Args:
        ground_truth (GroundTruth): Ground truth of these images.
    """

    def __init__(self, ground_truth: GroundTruth) -> None:
        self.name = ground_truth.name
        self._of_id = {
            id: i for i, id in enumerate(ground_truth.image_ids.tolist())
        }
        self._of_name: Dict[str, List[int]] = {}
        for i, file_name in enumerate(ground_truth.file_names):
            path = _path(file_name)
            keys = {str(path), str(path.with_suffix('')), path.name, path.stem}
            for key in keys:
                self._of_name.setdefault(key, []).append(i)

    def find(self, key: Any) -> Optional[int]:
        """Return the index of an image; None if there is not exactly one."""
        if isinstance(key, str):
            found = self._of_name.get(key, [])
            return found[0] if len(found) == 1 else None
        return self._of_id.get(key) if isinstance(key, int) else None


Place = Tuple[int, float, float, float]


def _path(file_name: str) -> PurePosixPath:
    return PurePosixPath(file_name.replace('\\', '/'))


def _from_entry(entry: Dict[str, Any], sources: _Sources, name: str) -> Place:
    """Return source, x, y and rate of a tile that tells them itself."""
    source = sources.find(entry['source'])
    numbers = [entry.get('x'), entry.get('y'), entry.get('rate', 1)]
    if source is None:
        raise ValueError(
            f'{name}: the tile {printable_value(entry.get("file_name"))} has '
            f'the source {printable_value(entry["source"])}, which is no file '
            f'name or id of an image of {sources.name}'
        )
    is_number = [
        isinstance(number, (int, float)) and np.isfinite(number)
        for number in numbers
    ]
    if not all(is_number) or numbers[2] <= 0:
        raise ValueError(
            f'{name}: expected "x" and "y" of the tile '
            f'{printable_value(entry.get("file_name"))} to be its place in '
            f'the source image in pixels, got {printable_value(numbers[:2])}'
        )
    return source, numbers[0], numbers[1], numbers[2]


def _from_names(
    names: Sequence[str],
    sources: _Sources,
    pattern: Optional[str],
    file: str,
) -> List[Place]:
    """Return source, x, y and rate of tiles from their file names.

    Args:
        names (Sequence[str]): File names of the tiles.
        sources (_Sources): The source images.
        pattern (str, optional): Name of a form, or a regular expression.
        file (str): Name of the file of the tiles, for messages.
    """
    tried = [FORMS.get(pattern, pattern)] if pattern else [*FORMS.values()]
    for form in tried:
        compiled = _compile(form)
        places = [_from_name(name, compiled, sources) for name in names]
        found = [place for place in places if place is not None]
        if len(found) == len(names):
            return found
    lacking = next(n for n, place in zip(names, places) if place is None)
    raise ValueError(
        f'{file}: the file name {printable(lacking)!r} of a tile does not '
        f'tell its place in an image of {sources.name}; expected the name of '
        'the image and the place of the tile as '
        f'{printable(pattern) if pattern else ", ".join(FORMS)}, such as '
        'NAME_X_Y.jpg; give --merge-tiles a regular expression with '
        '(?P<name>...), (?P<x>...) and (?P<y>...) after the file, or add '
        '"source", "x" and "y" to the entries of "images"'
    )


def _compile(form: str) -> 're.Pattern[str]':
    """Return a compiled form, checked."""
    try:
        compiled = re.compile(form)
    except re.error as error:
        raise ValueError(
            f'--merge-tiles: {printable(form)} is not a valid regular '
            f'expression: {error}'
        ) from error
    if not {'name', 'x', 'y'} <= {*compiled.groupindex}:
        raise ValueError(
            f'--merge-tiles: expected {", ".join(FORMS)} or a regular '
            'expression with the groups (?P<name>...), (?P<x>...) and '
            f'(?P<y>...), got {printable(form)}'
        )
    return compiled


def _from_name(
    name: str, form: 're.Pattern[str]', sources: _Sources
) -> Optional[Place]:
    """Return source, x, y and rate of a tile; None for another form."""
    path = _path(name).with_suffix('')
    # Folders too, if images of the same name are told apart by them.
    for text in str(path), path.name:
        found = form.fullmatch(text)
        source = sources.find(found['name']) if found else None
        if found and source is not None:
            parts = found.groupdict()
            try:
                rate = float(parts.get('rate') or 1)
                place = float(parts['x']), float(parts['y'])
            except ValueError:
                return None
            is_rate = 0 < rate <= LARGEST_RATE
            return (source, *place, rate if is_rate else 1.0)
    return None


def merge_tiles(
    tiles: Tiles, detections: Detections, merging: Merging = Merging()
) -> Detections:
    """Merge detections on tiles into detections on the source images.

    Detections of the same class and source image are merged, those of the
    same tile too, as in SAHI.

    Masks are matched by their boxes, as in SAHI. By "nmm" a mask becomes the
    union of those that it is merged with.

    Args:
        tiles (Tiles): The tiles.
        detections (Detections): Boxes on the tiles, and masks if these are
            evaluated.
        merging (Merging): How to merge. Default: as SAHI does.

    Returns:
        Detections: Detections on the source images, by image and class, with
        the highest score first.

    Raises:
        ValueError: If an option is unknown, or the detections have masks and
            a tile is not at the size of its source image or in no whole
            pixel of it.
    """
    check_choice('the method of merging tiles', merging.method, METHODS)
    check_choice('the overlap of merging tiles', merging.overlap, OVERLAPS)
    if not 0 < merging.threshold <= 1:
        raise ValueError(
            'expected the threshold of merging tiles to be above 0 and at '
            f'most 1, got {merging.threshold!r}'
        )
    masks = detections.segmentation
    if masks is not None:
        _check_whole_pixels(tiles)
    box = detections.box.copy()
    box[:, :2] += tiles.offset[detections.image]
    box /= tiles.rate[detections.image][:, None]
    image = tiles.source[detections.image]
    order = np.lexsort((-detections.score, detections.category, image))
    keys = np.stack([image, detections.category], 1)[order]
    starts = np.flatnonzero((keys[1:] != keys[:-1]).any(1)) + 1
    kept, members = [], []
    for rows in np.split(order, starts):
        chosen, box[chosen], merged = _merge(box[rows], rows, merging)
        kept.append(chosen)
        members += merged
    rows = np.concatenate(kept)
    area = box[rows, 2] * box[rows, 3]
    segmentation = None
    if masks is not None:
        segmentation = place_masks(
            masks,
            tiles.offset[detections.image].astype(int),
            members,
            tiles.source_sizes[image[rows]],
        )
        area = mask_utils.area(segmentation).astype(float)
    return Detections(
        image[rows],
        detections.category[rows],
        box[rows],
        detections.score[rows],
        area,
        segmentation,
    )


def _check_whole_pixels(tiles: Tiles) -> None:
    """Raise if masks of tiles cannot be moved to the source images."""
    bad = (tiles.rate != 1) | (tiles.offset % 1 != 0).any(1)
    if bad.any():
        i = int(bad.argmax())
        raise ValueError(
            f'the tile {printable(tiles.ground_truth.file_names[i])!r} is at '
            f'{tiles.rate[i]:g} times the size of its source image, from '
            f'{tiles.offset[i].tolist()} on; masks can be merged only if '
            'tiles have the size of the source image and begin at whole '
            'pixels of it; evaluate --metric bbox'
        )


def _merge(
    box: np.ndarray, rows: np.ndarray, merging: Merging
) -> Tuple[np.ndarray, np.ndarray, List[np.ndarray]]:
    """Merge detections of a class in an image.

    Args:
        box (np.ndarray): Boxes (x, y, width, height), by descending score; of
            shape (n, 4).
        rows (np.ndarray): Their positions, of shape (n,).
        merging (Merging): How to merge.

    Returns:
        tuple: Positions of the detections that are kept, their boxes, and the
        positions of those that each of them consists of.
    """
    corners = np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], 1)
    left = np.arange(len(rows))
    kept, boxes, members = [], [], []
    while len(left):
        first, left = left[0], left[1:]
        merged = corners[first]
        same = (
            _overlap(merged, corners[left], merging.overlap)
            >= merging.threshold
        )
        own = [first]
        if merging.method == 'nmm':
            # As in SAHI, a detection that no longer overlaps the grown box
            # enough is left out.
            for candidate in left[same]:
                other = corners[candidate]
                overlap = _overlap(merged, other[None], merging.overlap)
                if overlap[0] >= merging.threshold:
                    own.append(candidate)
                    merged = np.r_[
                        np.minimum(merged[:2], other[:2]),
                        np.maximum(merged[2:], other[2:]),
                    ]
        kept.append(first)
        members.append(rows[own])
        boxes.append(np.r_[merged[:2], merged[2:] - merged[:2]])
        left = left[~same]
    return rows[kept], np.array(boxes).reshape(-1, 4), members


def _overlap(one: np.ndarray, others: np.ndarray, kind: str) -> np.ndarray:
    """Return the overlaps of a box with others, as corners.

    Args:
        one (np.ndarray): Box (x1, y1, x2, y2), of shape (4,).
        others (np.ndarray): Boxes of shape (n, 4).
        kind (str): "iou" or "ios".
    """
    sides = np.minimum(one[2:], others[:, 2:]) - np.maximum(
        one[:2], others[:, :2]
    )
    common = sides.clip(0).prod(1)
    own, areas = (one[2:] - one[:2]).prod(), (others[:, 2:] - others[:, :2])
    areas = areas.prod(1)
    whole = np.minimum(own, areas) if kind == 'ios' else own + areas - common
    return np.divide(common, whole, out=np.zeros_like(common), where=whole > 0)
