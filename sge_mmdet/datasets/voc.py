"""Conversion of Pascal VOC folders to COCO's annotation format."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Dict, Iterator, List, Optional

from ..utils import printable
from .splits import CocoBuilder, Split, find_images, folder_of

ANNOTATIONS, IMAGES, SPLITS = 'Annotations', 'JPEGImages', 'ImageSets/Main'


def is_voc(folder: Path) -> bool:
    """Return whether a folder holds ``Annotations/*.xml``."""
    return any((folder / ANNOTATIONS).glob('*.xml'))


def read_voc(folder: Path, images: Optional[Path] = None) -> Dict[str, Split]:
    """Convert a Pascal VOC folder to COCO's annotation format.

    Boxes are read as MMDetection's ``VOCDataset`` reads them: one pixel is
    subtracted from each coordinate. Objects that are marked as difficult
    become crowds, which neither training nor evaluation counts. Classes are
    sorted by their names.

    Args:
        folder (Path): Folder with ``Annotations``; ``ImageSets/Main`` may have
            ``train.txt`` and ``val.txt``.
        images (Path, optional): Folder of the images. Default: None,
            ``JPEGImages`` in ``folder``.

    Returns:
        dict[str, Split]: Splits by name, "train" and "val"; or "all" alone if
        the folder has no ``train.txt``.

    Raises:
        FileNotFoundError: If an image or an annotation file does not exist.
        ValueError: If an annotation file is not as VOC has it.
    """
    images = images or folder_of(folder / IMAGES, '--images')
    lists = {
        name: folder / SPLITS / f'{name}.txt' for name in ('train', 'val')
    }
    if lists['train'].is_file():
        names = {
            split: _listed(path)
            for split, path in lists.items()
            if path.is_file()
        }
    else:
        found = (folder / ANNOTATIONS).glob('*.xml')
        names = {'all': sorted(path.stem for path in found)}
    files = {path.stem: path for path in find_images(images)}
    parsed = {
        name: _parse(folder / ANNOTATIONS / f'{name}.xml')
        for stems in names.values()
        for name in stems
    }
    classes = sorted(
        {
            _text(item, 'name', path)
            for name, root in parsed.items()
            for path in [folder / ANNOTATIONS / f'{name}.xml']
            for item in root.iter('object')
        }
    )
    return {
        split: _convert(folder, images, stems, parsed, files, classes)
        for split, stems in names.items()
    }


def _listed(path: Path) -> List[str]:
    """Return the names in a list of images, without the columns after it."""
    lines = path.read_text(encoding='utf-8').splitlines()
    return [line.split()[0] for line in lines if line.strip()]


def _convert(
    folder: Path,
    images: Path,
    stems: List[str],
    parsed: 'Dict[str, ElementTree.Element]',
    files: Dict[str, Path],
    classes: List[str],
) -> Split:
    builder = CocoBuilder(classes, images)
    for stem in stems:
        path = folder / ANNOTATIONS / f'{stem}.xml'
        root = parsed[stem]
        named = images / (root.findtext('filename') or '')
        image = named if named.is_file() else files.get(stem)
        if image is None:
            raise FileNotFoundError(
                f'{path}: there is no image {printable(stem)} in {images}; '
                'name the folder of the images with --images'
            )
        builder.add_image(image)
        for label, box, difficult in _objects(root, path, classes):
            builder.add_object(label, box, crowd=difficult)
    return builder.split(str(folder))


def _objects(
    root: 'ElementTree.Element', path: Path, classes: List[str]
) -> 'Iterator[tuple[int, List[float], bool]]':
    """Yield label, box (x, y, width, height) and difficulty of the objects."""
    for item in root.iter('object'):
        box = item.find('bndbox')
        if box is None:
            raise ValueError(
                f'{path}: an object has no "bndbox"; add it or remove the '
                'object'
            )
        corners = []
        for key in ('xmin', 'ymin', 'xmax', 'ymax'):
            text = _text(box, key, path)
            try:
                corners.append(float(text) - 1)
            except ValueError:
                raise ValueError(
                    f'{path}: expected a number of pixels as {key}, got '
                    f'{printable(text)!r}'
                ) from None
        left, top, right, bottom = corners
        if right <= left or bottom <= top:
            raise ValueError(
                f'{path}: expected boxes with xmin < xmax and ymin < ymax, '
                f'got {[corner + 1 for corner in corners]}; correct or remove '
                'the object'
            )
        yield (
            classes.index(_text(item, 'name', path)),
            [left, top, right - left, bottom - top],
            (item.findtext('difficult') or '0').strip() == '1',
        )


def _text(parent: 'ElementTree.Element', key: str, path: Path) -> str:
    text = (parent.findtext(key) or '').strip()
    if not text:
        raise ValueError(
            f'{path}: a "{parent.tag}" has no "{key}", which VOC\'s format '
            'needs; add it'
        )
    return text


def _parse(path: Path) -> 'ElementTree.Element':
    if not path.is_file():
        raise FileNotFoundError(
            f'There is no file {path}, which a list in {SPLITS} names'
        )
    text = path.read_bytes()
    # Entities could expand to gigabytes, and VOC needs none.
    if b'<!DOCTYPE' in text or b'<!ENTITY' in text:
        raise ValueError(
            f'{path} declares a document type, which no VOC annotation needs; '
            'remove the declaration'
        )
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f'{path} is not an XML file: {error}') from error
