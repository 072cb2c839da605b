"""A small real detection data set: handwritten digits on photographs.

The digits are scikit-learn's scans (1,797 of them, 8 x 8 pixels, 16 levels of
ink), pasted at 8 to 110 pixels onto photographs that scikit-image and
scikit-learn ship. Boxes, masks and areas come from each digit's own pixels.
The scans and the photographs of training and validation are disjoint.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Iterator, List, Tuple, Union

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from tqdm import tqdm

from ..utils import new_folder

SPLITS = ('train', 'val')
# Version of the content; data of another version is outdated.
VERSION = 1
INK_LEVELS = 16
# Ranges of the two ink colours. The one with more contrast to the background
# is used, so that every digit is visible.
DARK, BRIGHT = (0, 90), (165, 256)
PLACEMENT_TRIES = 50


@dataclass(frozen=True)
class DigitsOptions:
    """Options of the data set.

    Args:
        train_images: Number of training images.
        val_images: Number of validation images.
        image_size: Width and height of an image, in pixels.
        min_digit: Height of the smallest digit, in pixels.
        max_digit: Height of the largest digit, in pixels. The logarithm of
            the height has a Beta(2, 2) distribution: most digits are small,
            and few have the smallest size.
        max_objects: Largest number of digits in an image; at least half as
            many are tried.
        seed: Random seed.

    Raises:
        ValueError: If a number is not positive or a digit does not fit.
    """

    train_images: int = 400
    val_images: int = 48
    image_size: int = 256
    min_digit: int = 8
    max_digit: int = 110
    max_objects: int = 20
    seed: int = 0

    def __post_init__(self) -> None:  # noqa: D105
        for name, value in asdict(self).items():
            least = 0 if name == 'seed' else 1
            if value < least:
                raise ValueError(
                    f'{name}: expected at least {least}, got {value}'
                )
        if not self.min_digit <= self.max_digit <= self.image_size:
            raise ValueError(
                'Expected min_digit <= max_digit <= image_size, got '
                f'{self.min_digit}, {self.max_digit} and {self.image_size} '
                'pixels'
            )


def make_digits(
    out_dir: Union[str, Path], options: DigitsOptions = DigitsOptions()
) -> bool:
    """Write the data set in COCO format.

    ``out_dir`` gets ``annotations/{train,val}.json`` and
    ``{train,val}/*.jpg``. The folder appears when it is complete.

    Args:
        out_dir (str or Path): Folder of the data set; it must not contain
            other files.
        options (DigitsOptions): Options of the data set.

    Returns:
        bool: Whether it was written; False if the folder already contains the
        data set with these options.

    Raises:
        FileExistsError: If the folder contains anything else; it is not
            changed.
        OSError: If it cannot be written.
    """
    out_dir = Path(out_dir).resolve()
    if _is_complete(out_dir, options):
        return False
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise FileExistsError(
            f'{out_dir} already contains other files or a data set with '
            'other options, and nothing was written; name another folder or '
            'remove this one'
        )
    scans, photos = _load_scans(options.seed), _load_photos()
    with new_folder(out_dir) as root:
        for split in SPLITS:
            _write_split(root, split, scans[split], photos[split], options)
    return True


def _info(options: DigitsOptions) -> dict:
    return dict(
        description='Handwritten digits on photographs, by sge_mmdet',
        version=VERSION,
        options=asdict(options),
    )


def _is_complete(out_dir: Path, options: DigitsOptions) -> bool:
    try:
        text = (out_dir / 'annotations' / f'{SPLITS[-1]}.json').read_text()
        return json.loads(text)['info'] == _info(options)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _load_scans(seed: int) -> 'dict[str, list[tuple[np.ndarray, int]]]':
    """Return the scans of each split with their labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    n_val = len(order) // 4
    return {
        split: [(_crop(digits.images[i]), int(digits.target[i])) for i in part]
        for split, part in zip(SPLITS, (order[n_val:], order[:n_val]))
    }


def _crop(scan: np.ndarray) -> np.ndarray:
    """Crop a scan to its ink and a margin of one pixel, in [0, 1]."""
    rows, columns = np.nonzero(scan)
    ink = scan[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return np.pad(ink / INK_LEVELS, 1).astype(np.float32)


def _load_photos() -> 'dict[str, list[np.ndarray]]':
    """Return the RGB photographs of each split."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    train = [
        data.astronaut(),
        data.coffee(),
        data.rocket(),
        data.retina(),
        data.hubble_deep_field(),
        data.immunohistochemistry(),
        load_sample_image('china.jpg'),
    ]
    val = [
        data.chelsea(),
        data.stereo_motorcycle()[0],
        load_sample_image('flower.jpg'),
    ]
    return dict(train=train, val=val)


def _write_split(
    root: Path, split: str, scans: list, photos: list, options: DigitsOptions
) -> None:
    """Write the images and the annotations of a split."""
    (root / split).mkdir(parents=True)
    (root / 'annotations').mkdir(exist_ok=True)
    rng = np.random.default_rng((options.seed, SPLITS.index(split)))
    side = options.image_size
    images: List[dict] = []
    annotations: List[dict] = []
    count = getattr(options, f'{split}_images')
    for image_id in tqdm(range(1, count + 1), desc=f'{split} images'):
        image = _random_background(photos, side, rng)
        name = f'{image_id:06d}.jpg'
        images.append(
            dict(id=image_id, file_name=name, width=side, height=side)
        )
        for label, mask in _paste_digits(image, scans, options, rng):
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=label + 1,
                    iscrowd=0,
                    **_mask_fields(mask),
                )
            )
        _write_jpeg(root / split / name, image)
    categories = [
        dict(id=i + 1, name=str(i), supercategory='digit') for i in range(10)
    ]
    content = dict(
        info=_info(options),
        images=images,
        annotations=annotations,
        categories=categories,
    )
    (root / 'annotations' / f'{split}.json').write_text(json.dumps(content))


def _write_jpeg(path: Path, image: np.ndarray) -> None:
    # cv2.imwrite does not report a full disk.
    _, jpeg = cv2.imencode(
        '.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95]
    )
    path.write_bytes(jpeg.tobytes())


def _random_background(
    photos: list, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Crop a random square of a random photograph."""
    photo = photos[rng.integers(len(photos))]
    height, width = photo.shape[:2]
    side = int(rng.uniform(0.5, 1) * min(height, width))
    top = rng.integers(height - side + 1)
    left = rng.integers(width - side + 1)
    square = np.ascontiguousarray(
        photo[top : top + side, left : left + side, :3]
    )
    if rng.random() < 0.5:
        square = square[:, ::-1]
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA)


def _paste_digits(
    image: np.ndarray,
    scans: list,
    options: DigitsOptions,
    rng: np.random.Generator,
) -> Iterator[Tuple[int, np.ndarray]]:
    """Draw digits into an image; yield the label and the mask of each."""
    size = options.image_size
    taken = np.zeros((size, size), bool)
    count = rng.integers(
        (options.max_objects + 1) // 2, options.max_objects + 1
    )
    ratio = options.max_digit / options.min_digit
    heights = options.min_digit * ratio ** rng.beta(2, 2, size=count)
    # The largest digit is placed first, while there is space.
    for height in sorted(heights, reverse=True):
        scan, label = scans[rng.integers(len(scans))]
        ink = _resize(scan, round(height))
        h, w = ink.shape
        if max(h, w) > size:
            continue
        for _ in range(PLACEMENT_TRIES):
            top, left = rng.integers(size - h + 1), rng.integers(size - w + 1)
            place = np.s_[top : top + h, left : left + w]
            if not taken[place].any():
                break
        else:
            continue
        taken[place] = True
        is_dark = image[place].mean() > 127
        colour = rng.integers(*(DARK if is_dark else BRIGHT), size=3)
        blend = image[place] * (1 - ink[..., None]) + colour * ink[..., None]
        image[place] = np.round(blend).astype(np.uint8)
        mask = np.zeros((size, size), np.uint8)
        mask[place] = ink > 0.5
        yield label, mask


def _resize(scan: np.ndarray, height: int) -> np.ndarray:
    """Resize a scan so that its ink is ``height`` pixels high, in [0, 1]."""
    scale = height / (scan.shape[0] - 2)
    ink = cv2.resize(
        scan, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC
    )
    # Enlarging the eight pixels of a scan blurs them; a steeper ramp from
    # background to ink restores the edges of the strokes.
    return np.clip((ink / ink.max() - 0.2) / 0.6, 0, 1)


def _mask_fields(mask: np.ndarray) -> dict:
    """Return the COCO fields of a mask: RLE, area and box."""
    rle = coco_mask.encode(np.asfortranarray(mask))
    return dict(
        segmentation=dict(size=rle['size'], counts=rle['counts'].decode()),
        area=float(coco_mask.area(rle)),
        bbox=coco_mask.toBbox(rle).tolist(),
    )
