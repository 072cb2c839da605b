"""Pieces of images around objects and detections, for a page."""

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple, Union

import numpy as np
from PIL import Image
from tqdm import tqdm

from ...utils import printable
from ...visualization.images import read_image

# Longest side of a piece in the file, in pixels. It is shown larger.
LONGEST = 192
QUALITY = 80


@dataclass
class Crops:
    """Pieces of images, as JPEG.

    Attributes:
        pictures: JPEG of each piece; None where its image could not be read.
        windows: Left, top, width and height of each piece in its image, in
            pixels, of shape (k, 4).
        unread: Why images could not be read, by file name.
    """

    pictures: List['bytes | None']
    windows: np.ndarray
    unread: Dict[str, str] = field(default_factory=dict)


def cut_out(
    folder: Union[str, Path],
    file_names: Sequence[str],
    images: np.ndarray,
    boxes: np.ndarray,
) -> Crops:
    """Cut pieces with their surroundings out of images.

    Each image is read once. One that cannot be read is named in the result.

    Args:
        folder (str or Path): Folder of the images.
        file_names (Sequence[str]): File names of all images.
        images (np.ndarray): Index of each piece's image, of shape (k,).
        boxes (np.ndarray): Boxes (x, y, width, height) in pixels, of shape
            (k, 4).

    Returns:
        Crops: The pieces.
    """
    crops = Crops([None] * len(images), np.zeros((len(images), 4), np.float32))
    for image, members in tqdm(
        list(_by_image(images)), 'crops', delay=1, leave=False
    ):
        name = file_names[image]
        try:
            picture = Image.fromarray(_as_rgb(read_image(folder, name)))
        except (OSError, ValueError) as error:
            crops.unread[printable(name)] = str(error)
            continue
        for member in members:
            window = _surroundings(boxes[member], picture.size)
            crops.windows[member] = (
                *window[:2],
                window[2] - window[0],
                window[3] - window[1],
            )
            crops.pictures[member] = _jpeg(picture.crop(window))
    return crops


def data_url(picture: bytes) -> str:
    """Return a JPEG as an address that holds the picture itself."""
    return f'data:image/jpeg;base64,{base64.b64encode(picture).decode()}'


def _by_image(images: np.ndarray) -> Iterator[Tuple[int, np.ndarray]]:
    order = np.argsort(images, kind='stable')
    names, starts = np.unique(images[order], return_index=True)
    yield from zip(names.tolist(), np.split(order, starts[1:]))


def _surroundings(
    box: np.ndarray, size: Tuple[int, int]
) -> Tuple[int, int, int, int]:
    """Return left, top, right and bottom of a window around a box.

    Args:
        box (np.ndarray): Box (x, y, width, height) in pixels.
        size (tuple[int, int]): Width and height of the image.
    """
    x, y, width, height = box
    # Enough of the surroundings to recognise the object.
    side = max(48.0, 3 * max(width, height)) + max(width, height)
    limits = []
    for centre, length in zip((x + width / 2, y + height / 2), size):
        low = int(np.clip(centre - side / 2, 0, max(length - side, 0)))
        limits.append((low, int(np.clip(np.ceil(low + side), 1, length))))
    (left, right), (top, bottom) = limits
    return min(left, right - 1), min(top, bottom - 1), right, bottom


def _as_rgb(pixels: np.ndarray) -> np.ndarray:
    """Return an image of any type as 8 bit RGB, of shape (H, W, 3)."""
    if pixels.dtype.kind == 'f':
        pixels = np.clip(pixels, 0, 1) * 255
    elif pixels.dtype.itemsize > 1:
        pixels = pixels / max(np.iinfo(pixels.dtype).max, 1) * 255
    if pixels.ndim == 2 or pixels.shape[2] < 3:
        pixels = np.repeat(
            pixels.reshape(*pixels.shape[:2], -1)[..., :1], 3, 2
        )
    return np.ascontiguousarray(pixels[..., :3].astype(np.uint8))


def _jpeg(picture: Image.Image) -> bytes:
    picture.thumbnail((LONGEST, LONGEST))
    content = io.BytesIO()
    picture.save(content, 'JPEG', quality=QUALITY)
    return content.getvalue()
