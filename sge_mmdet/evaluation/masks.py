"""Masks of files, checked before pycocotools' C code reads them.

That code trusts a mask. Runs that do not add up to the image make it loop
without end, a truncated text makes it read beyond its memory, and polygons
with huge coordinates make it allocate hundreds of gigabytes.
"""

from typing import Any, Sequence, Tuple

import numpy as np

from ..utils.text import printable_value
from .ranks import ranks_within_runs

# Longest outline of one object, in pixels. Drawing takes 40 bytes per pixel.
LONGEST_OUTLINE = 1_000_000
# Longest outlines of a file together, in pixels: FREE_OUTLINE, and
# AVERAGE_OUTLINE for each object. All of them are drawn, and a small file can
# hold many long ones.
AVERAGE_OUTLINE, FREE_OUTLINE = 5_000, 10_000_000
# Masks that are decoded together, and characters of their counts, each of
# which takes about 80 bytes.
CHUNK = 10_000
CHUNK_CHARACTERS = 500_000
# Most characters of one mask, as many as noise in an image of a million pixels
# has.
MOST_CHARACTERS = 1_000_000
# pycocotools counts pixels in 32 bits.
MOST_PIXELS = 2**32
# Most characters of a run. Each holds 5 bits, and a run fits into 32 bits.
LONGEST_RUN = 7


def rle_areas(
    masks: Sequence[Any], sizes: np.ndarray, name: str
) -> np.ndarray:
    """Return the areas of masks in COCO's compressed RLE.

    Args:
        masks (Sequence[dict]): Masks, ``dict(size=[height, width],
            counts=text)``.
        sizes (np.ndarray): Height and width of each mask's image in pixels,
            of shape (n, 2).
        name (str): Name of their file, for messages.

    Returns:
        np.ndarray: Areas in square pixels, of shape (n,).

    Raises:
        ValueError: If a mask is not compressed RLE, is not of its image's
            size, has runs that do not add up to the image, or belongs to an
            image of 2^32 pixels or more.
    """
    texts = [
        _runs_of(mask, sizes[i], f'{name}: mask {i}')
        for i, mask in enumerate(masks)
    ]
    parts = [np.zeros(0)]
    begin = 0
    while begin < len(texts):
        end = _chunk_end(texts, begin)
        areas, good = _decode(texts[begin:end], sizes[begin:end].prod(1))
        if not good.all():
            first = begin + int((~good).argmax())
            raise ValueError(
                f'{name}: mask {first} has damaged counts, whose runs do not '
                f'add up to its image: {_shown(texts[first])}'
            )
        parts.append(areas)
        begin = end
    return np.concatenate(parts)


def own_sizes(masks: Sequence[Any], sizes: np.ndarray) -> np.ndarray:
    """Return the sizes that masks state, which may not be their images'.

    CocoMetric takes such masks. They overlap masks of the same size only.

    Args:
        masks (Sequence): Polygons or RLE of each object.
        sizes (np.ndarray): Height and width of each object's image in pixels,
            of shape (n, 2).

    Returns:
        np.ndarray: Heights and widths of shape (n, 2): those of the images
        where a mask states none that is possible.
    """
    stated = [
        mask.get('size') if isinstance(mask, dict) else None for mask in masks
    ]
    return np.array(
        [
            own
            if isinstance(own, (list, tuple))
            and len(own) == 2
            and all(
                isinstance(x, (int, np.integer)) and 0 <= x < MOST_PIXELS
                for x in own
            )
            and int(own[0]) * int(own[1]) < MOST_PIXELS
            else size
            for own, size in zip(stated, sizes.tolist())
        ],
        int,
    ).reshape(-1, 2)


def _shown(text: bytes) -> str:
    return printable_value(text[:100].decode('ascii', 'replace'))


def _runs_of(mask: Any, size: np.ndarray, where: str) -> bytes:
    """Return the counts of a mask in compressed RLE, checked."""
    counts = mask.get('counts') if isinstance(mask, dict) else None
    if not isinstance(counts, (str, bytes)):
        raise ValueError(
            f'{where} is not in compressed RLE: expected '
            'dict(size=[height, width], counts=text), got '
            f'{printable_value(mask)}'
        )
    _check_size(mask, size, where)
    if len(counts) > MOST_CHARACTERS:
        raise ValueError(
            f'{where} has counts of {len(counts)} characters; at most '
            f'{MOST_CHARACTERS} are read'
        )
    return (
        counts.encode('ascii', 'replace')
        if isinstance(counts, str)
        else counts
    )


def _chunk_end(texts: Sequence[bytes], begin: int) -> int:
    """Return the end of the chunk of masks that begins at a position."""
    end, characters = begin, 0
    while end < min(begin + CHUNK, len(texts)) and (
        end == begin or characters < CHUNK_CHARACTERS
    ):
        characters += len(texts[end])
        end += 1
    return end


def check_annotated_masks(
    masks: Sequence[Any], sizes: np.ndarray, name: str
) -> None:
    """Raise if a mask of the ground truth cannot be evaluated.

    Args:
        masks (Sequence): Polygons or RLE, compressed or not, of each object.
        sizes (np.ndarray): Height and width of each object's image in pixels,
            of shape (n, 2).
        name (str): Name of their file, for messages.

    Raises:
        ValueError: In the same cases as :func:`rle_areas`, or if polygons are
            not lists of x, y, x, y, ..., or outlines are longer than the
            limits of this module.
    """
    compressed = []
    longest = FREE_OUTLINE + AVERAGE_OUTLINE * len(masks)
    total = 0.0
    for i, (mask, size) in enumerate(zip(masks, sizes)):
        where = f'{name}: the mask of object {i}'
        if isinstance(mask, list):
            total += _checked_outline(mask, size, where)
            if total > longest:
                raise ValueError(
                    f'{name}: the outlines of the first {i + 1} of '
                    f'{len(masks)} objects are longer than {longest} pixels '
                    f'together, the limit: {FREE_OUTLINE} pixels, and '
                    f'{AVERAGE_OUTLINE} for each object'
                )
        elif isinstance(mask, dict) and isinstance(mask.get('counts'), list):
            _check_runs(mask, size, where)
        else:
            compressed.append(i)
    rle_areas([masks[i] for i in compressed], sizes[compressed], name)


def _checked_outline(mask: list, size: np.ndarray, where: str) -> float:
    """Return the length of polygons' outlines, in pixels, if it is allowed."""
    _check_pixels(size, where)
    outline = _outline(mask)
    # NaN, which stands for no polygons, compares false.
    if not outline <= LONGEST_OUTLINE:
        raise ValueError(
            f'{where} is not a list of polygons: expected [x, y, x, y, ...] '
            'with three or more corners and an outline of at most '
            f'{LONGEST_OUTLINE} pixels, got {printable_value(mask)}'
        )
    return outline


def _check_runs(mask: dict, size: np.ndarray, where: str) -> None:
    """Raise if a mask in uncompressed RLE does not fit its image."""
    _check_size(mask, size, where)
    runs = mask['counts']
    if not (
        all(type(run) is int and run >= 0 for run in runs)
        and sum(runs) == size.prod()
    ):
        raise ValueError(
            f'{where} has counts that do not add up to the {size.prod()} '
            f'pixels of its image: {printable_value(runs)}'
        )


def _check_pixels(size: np.ndarray, where: str) -> None:
    if size.prod() >= MOST_PIXELS:
        raise ValueError(
            f'{where} belongs to an image of {tuple(size.tolist())} pixels; '
            f'masks are evaluated in images of fewer than {MOST_PIXELS} pixels'
        )


def _check_size(mask: dict, size: np.ndarray, where: str) -> None:
    _check_pixels(size, where)
    own = mask.get('size')
    # pycocotools would accept True and 24.0 as well.
    if not (
        isinstance(own, (list, tuple))
        and len(own) == 2
        and [*own] == size.tolist()
        and all(
            isinstance(x, (int, np.integer)) and not isinstance(x, bool)
            for x in own
        )
    ):
        raise ValueError(
            f'{where}: expected the height and width of its image, '
            f'{size.tolist()}, as "size", got {printable_value(own)}'
        )


def _outline(polygons: list) -> float:
    """Return the length of polygons' outlines, in pixels.

    It is NaN if a polygon is not a list of three or more corners.
    """
    total = 0.0
    for polygon in polygons:
        if (
            not isinstance(polygon, list)
            or len(polygon) < 6
            or len(polygon) % 2
            or not all(type(x) in (int, float) for x in polygon)
        ):
            return np.nan
        try:
            corners = np.array(polygon, float).reshape(-1, 2)
        except OverflowError:  # Whole numbers beyond double precision.
            return np.nan
        total += abs(corners - np.roll(corners, 1, 0)).max(1).sum()
    return total if polygons else np.nan


def _decode(
    texts: Sequence[bytes], pixels: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Decode the counts of masks.

    Each character holds 5 bits of a run, the lowest ones first, and whether
    more characters follow. From the fourth run on, the number is the signed
    difference to the run before the last. Runs outside and inside of the
    object alternate.

    Args:
        texts (Sequence[bytes]): Counts of each mask, n of them.
        pixels (np.ndarray): Number of pixels of each mask's image, of shape
            (n,).

    Returns:
        tuple[np.ndarray, np.ndarray]: Areas in square pixels, and whether the
        counts are valid, each of shape (n,).
    """
    lengths = np.array([len(text) for text in texts], int)
    data = np.frombuffer(b''.join(texts), np.uint8).astype(np.int64) - 48
    owner = np.repeat(np.arange(len(texts)), lengths)
    good = lengths > 0
    good[owner[(data < 0) | (data > 63)]] = False
    is_last = (data & 32) == 0
    ends_whole = np.zeros(len(texts), bool)
    ends_whole[good] = is_last[np.cumsum(lengths)[good] - 1]
    good &= ends_whole
    # Damaged masks are left out of the arithmetic.
    data, owner, is_last = (x[good[owner]] for x in (data, owner, is_last))
    ends = np.flatnonzero(is_last)
    begins = np.r_[0, ends[:-1] + 1][: len(ends)]
    digits = ends - begins + 1
    place = np.arange(len(data)) - np.repeat(begins, digits)
    good[owner[place >= LONGEST_RUN]] = False
    bits = (data & 31) << (5 * np.minimum(place, LONGEST_RUN))
    runs = np.add.reduceat(bits, begins) if len(begins) else bits
    # The sign bit of the last character.
    runs -= ((data[ends] & 16) > 0) * (
        1 << 5 * np.minimum(digits, LONGEST_RUN)
    )
    owner = owner[ends]
    position = ranks_within_runs(owner)
    _add_differences(runs, owner, position)
    good[owner[runs < 0]] = False
    total = np.bincount(owner, runs, len(texts))
    good &= total == pixels
    return np.bincount(owner, runs * (position % 2), len(texts)), good


def _add_differences(
    runs: np.ndarray, owner: np.ndarray, position: np.ndarray
) -> None:
    """Replace differences of runs by the runs, in place.

    Args:
        runs (np.ndarray): The first runs and the differences of the later
            ones, of shape (n,).
        owner (np.ndarray): Index of each run's mask, of shape (n,).
        position (np.ndarray): Position of each run in its mask, of shape
            (n,).
    """
    # Sums of the odd runs, and of the even runs after the first.
    for parity in 1, 0:
        series = np.flatnonzero((position % 2 == parity) & (position > 0))
        sums = np.cumsum(runs[series])
        begin = np.arange(len(series)) - ranks_within_runs(owner[series])
        runs[series] = sums - np.r_[0, sums][begin]
