"""Pieces of images around objects and detections, for a page."""

import base64
import contextlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Set, Tuple, Union

import numpy as np
from PIL import Image
from tqdm import tqdm

from ...utils import printable
from ...utils.images import read_image

# Longest side of a piece in the file, in pixels. It is shown larger.
LONGEST = 192
QUALITY = 80
# How a picture is turned for each orientation in its EXIF data.
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass
class Crops:
    """Pieces of images, as JPEG.

    Attributes:
        pictures: JPEG of each piece; None where its image could not be read.
        windows: Left, top, width and height of each piece in its image, in
            pixels, of shape (k, 4). These are pixels of the annotations.
        unread: Why images could not be read, by file name.
        sizes: Width and height of each image that was read, by its index, as
            the annotations give them.
        resized: Names of images whose size is not that of the annotations.
        unturned: Images that are shown as they are stored, because that is
            what the annotations describe, although their EXIF data tell to
            turn them.
    """

    pictures: List['bytes | None']
    windows: np.ndarray
    unread: Dict[str, str] = field(default_factory=dict)
    sizes: Dict[int, Tuple[int, int]] = field(default_factory=dict)
    resized: List[str] = field(default_factory=list)
    unturned: Set[int] = field(default_factory=set)


def cut_out(
    folder: Union[str, Path],
    file_names: Sequence[str],
    image_sizes: np.ndarray,
    images: np.ndarray,
    boxes: np.ndarray,
) -> Crops:
    """Cut pieces with their surroundings out of images.

    Each image is read once. One that cannot be read is named in the result.

    Args:
        folder (str or Path): Folder of the images.
        file_names (Sequence[str]): File names of all images.
        image_sizes (np.ndarray): Heights and widths of all images in the
            annotations, in pixels, of shape (I, 2); 0 where unknown.
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
            height, width = image_sizes[image].tolist()
            picture, is_turned = _read(folder, name, (width, height))
        except (OSError, ValueError) as error:
            crops.unread[printable(name)] = str(error)
            continue
        size = (width, height) if width and height else picture.size
        crops.sizes[image] = size
        if size != picture.size:
            crops.resized.append(printable(name))
        if not is_turned:
            crops.unturned.add(image)
        for member in members:
            window = _surroundings(boxes[member], size)
            crops.windows[member] = (
                *window[:2],
                window[2] - window[0],
                window[3] - window[1],
            )
            crops.pictures[member] = _jpeg(_cut(picture, window, size))
    return crops


def _read(
    folder: Union[str, Path], name: str, size: Tuple[int, int]
) -> Tuple[Image.Image, bool]:
    """Read an image and turn it as its EXIF data say, as MMCV does.

    Args:
        folder (str or Path): Folder of the images.
        name (str): File name of the image.
        size (tuple[int, int]): Width and height in the annotations. An image
            that has it only as it is stored is not turned.

    Returns:
        tuple: The image in RGB, and False if it is to be turned but was not.
    """
    picture = Image.fromarray(_as_rgb(read_image(folder, name)))
    turn = _turn_of(Path(folder, name))
    if turn is None:
        return picture, True
    turned = picture.transpose(turn)
    if turned.size != size and picture.size == size:
        return picture, False
    return turned, True


def _turn_of(path: Path) -> Optional[Image.Transpose]:
    # Broken EXIF data raise errors of many types, and turn nothing.
    with contextlib.suppress(Exception), Image.open(path) as file:
        return _TURNS.get(file.getexif().get(_ORIENTATION, 1))
    return None


def _cut(
    picture: Image.Image,
    window: Tuple[int, int, int, int],
    size: Tuple[int, int],
) -> Image.Image:
    """Return a piece of an image that may have another size.

    Args:
        picture (Image.Image): The image.
        window (tuple): Left, top, right and bottom in the annotations' pixels.
        size (tuple[int, int]): Width and height in the annotations.
    """
    width, height = (
        actual / annotated for actual, annotated in zip(picture.size, size)
    )
    left, top, right, bottom = window
    x, y = int(left * width), int(top * height)
    return picture.crop(
        (
            x,
            y,
            max(x + 1, round(right * width)),
            max(y + 1, round(bottom * height)),
        )
    )


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
