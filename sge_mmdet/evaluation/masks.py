"""Masks of files, checked before pycocotools' C code reads them.

That code trusts a mask: runs that do not add up to the image make it loop
without end, a text that breaks off lets it read past its memory, and polygons
of absurd coordinates make it ask for hundreds of gigabytes.
"""

from typing import Any, Sequence, Tuple

import numpy as np

from ..utils.text import printable_value
from .ranks import ranks_within_runs

# Longest outline of one object, in pixels; drawing takes 40 bytes a pixel.
LONGEST_OUTLINE = 1_000_000
# The outlines of a file may be this long on average, and this much longer in
# all: a small file can name many long ones, and all of them are drawn.
AVERAGE_OUTLINE, FREE_OUTLINE = 5_000, 10_000_000
# Masks decoded at once, and characters of their runs, each of which takes
# some 80 bytes.
CHUNK = 10_000
CHUNK_CHARACTERS = 500_000
# Of one mask. Noise in an image of a million pixels has as many.
MOST_CHARACTERS = 1_000_000
# pycocotools counts pixels in 32 bits.
MOST_PIXELS = 2**32
# Characters of a run, 5 bits each: as many as 32 bits need.
LONGEST_RUN = 7


def rle_areas(
    masks: Sequence[Any], sizes: np.ndarray, name: str
) -> np.ndarray:
    """Return the areas of masks in COCO's compressed RLE.

    Args:
        masks (Sequence[dict]): Masks, ``dict(size=[height, width],
            counts=text)``.
        sizes (np.ndarray): Height and width of each mask's image, in pixels;
            shape (n, 2).
        name (str): Name of their file, for messages.

    Returns:
        np.ndarray: In pixels; shape (n,).

    Raises:
        ValueError: If one is not of that kind, not of its image's size, its
            runs do not add up to the image, or that has 2^32 pixels or more.
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
                'add up to its image: '
                + printable_value(
                    texts[first][:100].decode('ascii', 'replace')
                )
            )
        parts.append(areas)
        begin = end
    return np.concatenate(parts)


def _runs_of(mask: Any, size: np.ndarray, where: str) -> bytes:
    """Return the text of a mask's runs."""
    counts = mask.get('counts') if isinstance(mask, dict) else None
    if not isinstance(counts, (str, bytes)):
        raise ValueError(
            f'{where} is not in compressed RLE, dict(size=[height, width], '
            f'counts=text): {printable_value(mask)}'
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
    """Return where the masks end that are decoded together."""
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
        masks (Sequence): Polygons, or RLE, compressed or not, of each object.
        sizes (np.ndarray): Height and width of each object's image, in
            pixels; shape (n, 2).
        name (str): Name of their file, for messages.

    Raises:
        ValueError: As :func:`rle_areas`, or if polygons are not lists of x, y,
            x, y, ... or longer around than :data:`LONGEST_OUTLINE`, or all
            together than :data:`AVERAGE_OUTLINE` each.
    """
    compressed = []
    left: float = FREE_OUTLINE + AVERAGE_OUTLINE * len(masks)
    for i, (mask, size) in enumerate(zip(masks, sizes)):
        where = f'{name}: the mask of object {i}'
        if isinstance(mask, list):
            _check_pixels(size, where)
            outline = _outline(mask)
            if not outline <= LONGEST_OUTLINE:
                raise ValueError(
                    f'{where} is not a list of polygons, [x, y, x, y, ...] of '
                    f'three or more corners, around at most {LONGEST_OUTLINE} '
                    f'pixels: {printable_value(mask)}'
                )
            left -= outline
            if left < 0:
                raise ValueError(
                    f'{name}: the outlines of the first {i + 1} of '
                    f'{len(masks)} objects are longer than '
                    f'{FREE_OUTLINE + AVERAGE_OUTLINE * len(masks)} pixels '
                    f'together; of all at most {FREE_OUTLINE} and '
                    f'{AVERAGE_OUTLINE} an object are drawn'
                )
        elif isinstance(mask, dict) and isinstance(mask.get('counts'), list):
            _check_size(mask, size, where)
            runs = mask['counts']
            if not (
                all(type(run) is int and run >= 0 for run in runs)
                and sum(runs) == size.prod()
            ):
                raise ValueError(
                    f'{where} has counts that do not add up to '
                    f'its image: {printable_value(runs)}'
                )
        else:
            compressed.append(i)
    rle_areas([masks[i] for i in compressed], sizes[compressed], name)


def _check_pixels(size: np.ndarray, where: str) -> None:
    if size.prod() >= MOST_PIXELS:
        raise ValueError(
            f'{where} is in an image of {tuple(size.tolist())} pixels; masks '
            f'are evaluated in images of fewer than {MOST_PIXELS}'
        )


def _check_size(mask: dict, size: np.ndarray, where: str) -> None:
    _check_pixels(size, where)
    found = mask.get('size')
    # Exactly two whole numbers: pycocotools takes True and 24.0 as well.
    if not (
        isinstance(found, (list, tuple))
        and len(found) == 2
        and [*found] == size.tolist()
        and all(
            isinstance(x, (int, np.integer)) and not isinstance(x, bool)
            for x in found
        )
    ):
        raise ValueError(
            f'{where} is of {printable_value(found)} pixels (height, width) '
            f'in an image of {tuple(size.tolist())}'
        )


def _outline(polygons: list) -> float:
    """Return the pixels around polygons; NaN if they are none."""
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
        except OverflowError:  # Of whole numbers without end.
            return np.nan
        total += abs(corners - np.roll(corners, 1, 0)).max(1).sum()
    return total if polygons else np.nan


def _decode(
    texts: 'Sequence[bytes]', pixels: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Return masks' areas, and which are whole.

    A character holds 5 bits of a run, the lowest first, and whether more
    follow; from the fourth run on it is the difference to the run before the
    last, with a sign. Runs of outside and inside take turns.
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
    # What is damaged is left out of the arithmetic.
    data, owner, is_last = (x[good[owner]] for x in (data, owner, is_last))
    ends = np.flatnonzero(is_last)
    begins = np.r_[0, ends[:-1] + 1][: len(ends)]
    digits = ends - begins + 1
    place = np.arange(len(data)) - np.repeat(begins, digits)
    good[owner[place >= LONGEST_RUN]] = False
    bits = (data & 31) << (5 * np.minimum(place, LONGEST_RUN))
    runs = np.add.reduceat(bits, begins) if len(begins) else bits
    runs -= ((data[ends] & 16) > 0) * (
        1 << 5 * np.minimum(digits, LONGEST_RUN)
    )
    owner = owner[ends]
    position = ranks_within_runs(owner)
    # The odd runs and the even ones behind the first each add up.
    for parity in 1, 0:
        series = np.flatnonzero((position % 2 == parity) & (position > 0))
        sums = np.cumsum(runs[series])
        begin = np.arange(len(series)) - ranks_within_runs(owner[series])
        runs[series] = sums - np.r_[0, sums][begin]
    good[owner[runs < 0]] = False
    total = np.bincount(owner, runs, len(texts))
    good &= total == pixels
    return np.bincount(owner, runs * (position % 2), len(texts)), good
