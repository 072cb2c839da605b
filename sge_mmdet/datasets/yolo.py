"""Conversion of YOLO folders to COCO's annotation format."""

import math
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import yaml

from ..utils import printable
from ..utils.text import printable_value
from .splits import CocoBuilder, Split, find_images, folder_of

LABELS, IMAGES = 'labels', 'images'
CLASSES = 'classes.txt'


def is_yolo(folder: Path) -> bool:
    """Return whether a folder holds ``labels``, or a YAML with ``names``."""
    return (folder / LABELS).is_dir() or bool(_find_yaml(folder))


def read_yolo(folder: Path, images: Optional[Path] = None) -> Dict[str, Split]:
    """Convert a YOLO folder to COCO's annotation format.

    Labels are boxes (class, centre, width, height) or polygons (class, points)
    in fractions of the image's width and height.

    Args:
        folder (Path): Folder with ``images``, ``labels`` and ``data.yaml`` (or
            ``classes.txt`` with a name on each line).
        images (Path, optional): Folder of the images; it replaces ``images``
            and the splits of ``data.yaml``. Default: None.

    Returns:
        dict[str, Split]: Splits by name, "train" and "val"; or "all" alone if
        there is no ``data.yaml`` that names them.

    Raises:
        FileNotFoundError: If a folder or the file of names does not exist.
        ValueError: If a file is not as YOLO has it.
    """
    file = _find_yaml(folder)
    options = _read_yaml(file) if file else {}
    names = _read_names(folder, file, options)
    root = images or folder
    if images or not options.get('train'):
        folder_of_images = images or folder_of(folder / IMAGES, '--images')
        parts = dict(all=find_images(folder_of_images))
    elif options.get('val'):
        parts = {
            split: _split_images(folder, options, split)
            for split in ('train', 'val')
        }
    else:
        parts = dict(all=_split_images(folder, options, 'train'))
    return {
        split: _convert(folder, root, paths, names)
        for split, paths in parts.items()
    }


def _convert(
    folder: Path, root: Path, paths: Sequence[Path], names: List[str]
) -> Split:
    builder = CocoBuilder(names, root)
    for path in paths:
        width, height = builder.add_image(path)
        labels = _label_file(folder, root, path)
        # An image without objects has no file of labels.
        lines = (
            labels.read_text(encoding='utf-8').splitlines()
            if labels.is_file()
            else []
        )
        for number, line in enumerate(lines, 1):
            if line.strip():
                place = f'{labels}, line {number}'
                label, numbers = _parse_line(line, place, len(names))
                box, polygon = _to_pixels(numbers, width, height, place)
                builder.add_object(label, box, polygon)
    return builder.split(str(folder))


def _find_yaml(folder: Path) -> Optional[Path]:
    for name in ('data.yaml', 'data.yml', 'dataset.yaml'):
        if (folder / name).is_file():
            return folder / name
    return None


def _read_yaml(path: Path) -> dict:
    try:
        options = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (yaml.YAMLError, UnicodeError) as error:
        raise ValueError(f'{path} is not a YAML file: {error}') from error
    if not isinstance(options, dict) or 'names' not in options:
        raise ValueError(
            f'{path}: expected "names", the names of the classes, as a list; '
            'add them'
        )
    return options


def _read_names(
    folder: Path, file: Optional[Path], options: Dict[str, Any]
) -> List[str]:
    """Return the names of the classes in the order of their numbers."""
    names = options.get('names')
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise ValueError(
                f'{file}: expected names with the numbers 0 to '
                f'{len(names) - 1}, got {printable_value([*names])}'
            )
        names = [names[i] for i in range(len(names))]
    if names is None:
        listed = folder / CLASSES
        if not listed.is_file():
            raise FileNotFoundError(
                f'{folder} has neither data.yaml nor {CLASSES}; write the '
                f'names of the classes to {listed}, one on each line, in the '
                'order of their numbers'
            )
        lines = listed.read_text(encoding='utf-8').splitlines()
        names = [line.strip() for line in lines if line.strip()]
    if not isinstance(names, list):
        raise ValueError(
            f'{file}: expected names as a list of texts, got '
            f'{printable_value(names)}'
        )
    return names


def _split_images(
    folder: Path, options: Dict[str, Any], split: str
) -> List[Path]:
    """Return the images of a split: folders, or text files that list them."""
    value = options[split]
    entries = value if isinstance(value, list) else [value]
    base = folder / str(options.get('path') or '.')
    paths: List[Path] = []
    for entry in entries:
        place = _first_existing(
            [base / str(entry), folder / str(entry).lstrip('./')]
        )
        if place is None:
            raise FileNotFoundError(
                f'{folder}: there is no {base / str(entry)}, which the YAML '
                f'file names as {split}; correct the path'
            )
        if place.is_dir():
            paths += find_images(place)
        else:
            lines = place.read_text(encoding='utf-8').split()
            paths += [place.parent / line for line in lines]
    return paths


def _first_existing(paths: Sequence[Path]) -> Optional[Path]:
    return next((path for path in paths if path.exists()), None)


def _label_file(folder: Path, root: Path, image: Path) -> Path:
    """Return the file of an image's labels, which may not exist."""
    parts = list(image.parts)
    if IMAGES in parts:
        # The last one, as YOLO's own loaders do.
        place = len(parts) - 1 - parts[::-1].index(IMAGES)
        parts[place] = LABELS
        return Path(*parts).with_suffix('.txt')
    return (folder / LABELS / image.relative_to(root)).with_suffix('.txt')


def _parse_line(
    line: str, place: str, count: int
) -> Tuple[int, 'List[float]']:
    """Return the label and the numbers of a line of labels."""
    try:
        label, *numbers = map(float, line.split())
    except ValueError:
        raise ValueError(
            f'{place}: expected numbers, got {printable(line, 80)!r}'
        ) from None
    if len(numbers) != 4 and (len(numbers) < 6 or len(numbers) % 2):
        raise ValueError(
            f'{place}: expected a class and a box (centre x, centre y, width, '
            'height), or a class and the points of a polygon, got '
            f'{len(numbers) + 1} numbers'
        )
    if label not in range(count):
        raise ValueError(
            f'{place}: expected a class from 0 to {count - 1}, the number of '
            f'one of the {count} names, got {label:g}'
        )
    if not all(math.isfinite(n) and -0.01 <= n <= 1.01 for n in numbers):
        raise ValueError(
            f'{place}: expected fractions of the width and height, from 0 to '
            f'1, got {numbers[:8]}; divide pixels by the size of the image'
        )
    return int(label), numbers


def _to_pixels(
    numbers: Sequence[float], width: int, height: int, place: str
) -> 'Tuple[List[float], Optional[List[float]]]':
    """Return the box and the polygon of fractions, in pixels."""
    polygon = None
    if len(numbers) == 4:
        x, y, w, h = numbers
        left, right = (x - w / 2) * width, (x + w / 2) * width
        top, bottom = (y - h / 2) * height, (y + h / 2) * height
    else:
        xs = [min(max(x, 0), 1) * width for x in numbers[::2]]
        ys = [min(max(y, 0), 1) * height for y in numbers[1::2]]
        left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
        polygon = [value for point in zip(xs, ys) for value in point]
    if right <= left or bottom <= top:
        raise ValueError(
            f'{place}: expected a width and a height above 0, got '
            f'{right - left:g} x {bottom - top:g} pixels; remove the line'
        )
    return [left, top, right - left, bottom - top], polygon
