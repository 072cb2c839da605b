"""Training and validation data in COCO's annotation format."""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image, UnidentifiedImageError
from pycocotools import mask as coco_mask

from ..utils import printable

IMAGE_SUFFIXES = {
    '.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm',
}  # fmt: skip
# EXIF orientations that swap width and height.
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)


@dataclass(frozen=True)
class Split:
    """Data of a split.

    Attributes:
        content: Content of an annotation file in COCO's format.
        images: Folder that the file names of the images are relative to.
        name: Name of the source, for messages.
        file: Annotation file with this content. None if it is not written.
    """

    content: Dict[str, Any]
    images: Path
    name: str
    file: Optional[Path] = None

    @property
    def text(self) -> str:
        """str: The content as JSON."""
        return json.dumps(self.content)


class CocoBuilder:
    """Builder of a split from images and objects, one after another.

    Args:
        classes (Sequence): Names of the classes by label.
        images (Path): Folder of the images.
    """

    def __init__(self, classes: Sequence[Any], images: Path) -> None:
        self.root = images
        self.images: List[dict] = []
        self.annotations: List[dict] = []
        self.categories = [
            dict(id=i, name=name) for i, name in enumerate(classes, 1)
        ]

    def add_image(self, path: Path) -> Tuple[int, int]:
        """Add an image; return its width and height in pixels."""
        width, height = image_size(path)
        name = Path(os.path.relpath(path, self.root)).as_posix()
        self.images.append(
            dict(
                id=len(self.images) + 1,
                file_name=name,
                width=width,
                height=height,
            )
        )
        return width, height

    def add_object(
        self,
        label: int,
        box: Sequence[float],
        polygon: Optional[Sequence[float]] = None,
        crowd: bool = False,
    ) -> None:
        """Add an object of the last image.

        Args:
            label (int): Label, counted from 0.
            box (Sequence[float]): Box (x, y, width, height) in pixels, which
                is clipped to the image.
            polygon (Sequence[float], optional): Points x, y of the outline in
                pixels. Default: None.
            crowd (bool): Whether the object is ignored. Default: False.
        """
        image = self.images[-1]
        left, top = max(box[0], 0.0), max(box[1], 0.0)
        width = min(box[0] + box[2], image['width']) - left
        height = min(box[1] + box[3], image['height']) - top
        if width <= 0 or height <= 0:
            raise ValueError(
                f'{self.root / image["file_name"]}: expected boxes inside the '
                f'image of {image["width"]} x {image["height"]} pixels, got '
                f'{[round(value, 1) for value in box]} (x, y, width, height); '
                'correct or remove the object'
            )
        entry = dict(
            id=len(self.annotations) + 1,
            image_id=image['id'],
            category_id=label + 1,
            bbox=[round(value, 3) for value in (left, top, width, height)],
            area=round(width * height, 3),
            iscrowd=int(crowd),
        )
        if polygon:
            points = [round(value, 3) for value in polygon]
            rles = coco_mask.frPyObjects(
                [points], image['height'], image['width']
            )
            entry['segmentation'] = [points]
            entry['area'] = float(coco_mask.area(rles)[0])
        self.annotations.append(entry)

    def split(self, name: str) -> Split:
        """Return the split; ``name`` names it in messages."""
        return Split(
            dict(
                images=self.images,
                annotations=self.annotations,
                categories=self.categories,
            ),
            self.root,
            name,
        )


def divide(split: Split, fraction: float, seed: int) -> Tuple[Split, Split]:
    """Return random parts of a split for training and for validation.

    Args:
        split (Split): Split to divide.
        fraction (float): Share of the images for validation, between 0 and 1.
        seed (int): Random seed.

    Returns:
        tuple[Split, Split]: Training and validation.

    Raises:
        ValueError: If the fraction is not between 0 and 1, or a part would
            have no image.
    """
    images = split.content['images']
    if not 0 < fraction < 1:
        raise ValueError(
            '--val-fraction: expected a share of the images between 0 and 1, '
            f'such as 0.1, got {fraction:g}'
        )
    if len(images) < 2:
        raise ValueError(
            f'{split.name}: expected two images or more to divide them into '
            f'training and validation, got {len(images)}'
        )
    count = min(max(round(fraction * len(images)), 1), len(images) - 1)
    order = np.random.default_rng(seed).permutation(len(images))
    chosen = {*order[:count].tolist()}
    train, val = (
        _with_images(
            split,
            [image for i, image in enumerate(images) if (i in chosen) == held],
        )
        for held in (False, True)
    )
    return train, val


def _with_images(split: Split, images: List[dict]) -> Split:
    ids = {image['id'] for image in images}
    annotations = [
        entry
        for entry in split.content['annotations']
        if entry['image_id'] in ids
    ]
    content = dict(split.content, images=images, annotations=annotations)
    return replace(split, content=content, file=None)


def find_images(folder: Path) -> List[Path]:
    """Return the images in a folder and its subfolders, sorted.

    Raises:
        FileNotFoundError: If there are none.
    """
    found = sorted(
        path
        for path in folder.rglob('*')
        if path.suffix.lower() in IMAGE_SUFFIXES
    )
    if not found:
        raise FileNotFoundError(
            f'There is no image in {folder}; name the folder of the images '
            'with --images'
        )
    return found


def folder_of(path: Path, option: str) -> Path:
    """Return a folder; raise if it does not exist, naming an option."""
    if not path.is_dir():
        raise FileNotFoundError(
            f'There is no folder {path}; name the folder with {option}'
        )
    return path


def image_size(path: Path) -> Tuple[int, int]:
    """Return the width and height of an image as it is shown, in pixels."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            if image.getexif().get(ORIENTATION) in TURNED:
                width, height = height, width
    except FileNotFoundError:
        raise FileNotFoundError(f'There is no image {path}') from None
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise ValueError(
            f'{path} cannot be read as an image: {printable(str(error))}; '
            'remove or replace it'
        ) from error
    return width, height
