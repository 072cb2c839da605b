"""Bins of object sizes."""

import math
from dataclasses import dataclass
from typing import List, Sequence, Tuple, Union

import numpy as np

from ..utils.text import printable

# COCO's upper bound for "any size", larger than the area of any image.
UNBOUNDED_AREA = 1e5**2
NAMED_BINS = {
    'coco': (('small', 0, 32), ('medium', 32, 96), ('large', 96, math.inf)),
    'aitod': (
        ('very_tiny', 0, 8),
        ('tiny', 8, 16),
        ('small', 16, 32),
        ('medium', 32, math.inf),
    ),
}


@dataclass(frozen=True)
class SizeBin:
    """A range of object sizes.

    Attributes:
        name: Name of the bin, such as "small" or "16-32".
        low: Lower bound of sqrt(area), in pixels.
        high: Upper bound of sqrt(area), in pixels; may be infinite.
        outside_is_crowd: Whether objects of other sizes are ignored as crowds
            are: they can be hit many times, and their overlap is the
            intersection over the detection's area.
    """

    name: str
    low: float
    high: float
    outside_is_crowd: bool = False

    @property
    def area(self) -> Tuple[float, float]:
        """tuple[float, float]: Smallest and largest area, in square pixels.

        As in COCO, both limits belong to the bin, so that an object on the
        limit of two bins counts in both.
        """
        return self.low**2, min(self.high**2, UNBOUNDED_AREA)

    def holds(self, area: np.ndarray) -> np.ndarray:
        """Return which areas are in the bin.

        Args:
            area (np.ndarray): Areas in square pixels, of any shape.

        Returns:
            np.ndarray: Booleans of the same shape.
        """
        low, high = self.area
        return (area >= low) & (area <= high)

    @property
    def text(self) -> str:
        """str: The range of areas, for tables."""
        if self.high == math.inf:
            return f'area > {self.low:g}^2' if self.low else 'all sizes'
        return (
            f'{self.low:g}^2 to {self.high:g}^2'
            if self.low
            else f'area < {self.high:g}^2'
        )


ALL_SIZES = SizeBin('all', 0, math.inf)


def with_all_sizes(bins: Sequence[SizeBin]) -> List[SizeBin]:
    """Return the bins, preceded by the bin of all sizes.

    Args:
        bins (Sequence[SizeBin]): Bins. One that is called "all" is taken in
            place of the bin of all sizes: some protocols leave out the
            smallest or the largest objects.
    """
    named = [bin for bin in bins if bin.name == ALL_SIZES.name]
    return [
        *(named or [ALL_SIZES])[:1],
        *(bin for bin in bins if bin.name != ALL_SIZES.name),
    ]


def size_bins(
    spec: Union[str, Sequence[Union[float, str]]],
) -> List[SizeBin]:
    """Return the bins of object sizes for a name or a list of limits.

    Args:
        spec (str or Sequence[float]): Name or limits: "coco" (small below
            32^2, medium, large from 96^2), "aitod" (very tiny below 8^2, tiny
            below 16^2, small below 32^2, medium), or the ascending limits of
            the bins' sides in pixels, such as
            ``[0, 8, 16, 24, 32, 96, inf]``.

    Raises:
        ValueError: If the name is unknown, or the limits do not ascend.

    Examples:
        >>> [bin.name for bin in size_bins('coco')]
        ['small', 'medium', 'large']
        >>> [bin.name for bin in size_bins([0, 16, 32, float('inf')])]
        ['0-16', '16-32', '32-inf']
    """
    if isinstance(spec, str):
        if spec not in NAMED_BINS:
            raise ValueError(
                f'expected size bins to be {", ".join(NAMED_BINS)} or a list '
                f'of limits in pixels such as [0, 16, 32, inf], got {spec!r}'
            )
        return [SizeBin(*bin) for bin in NAMED_BINS[spec]]
    try:
        limits = [float(limit) for limit in spec]
    except (TypeError, ValueError) as error:
        raise ValueError(
            'expected limits of size bins to be numbers of pixels such as '
            f'[0, 16, 32, inf], got {spec!r}'
        ) from error
    pairs = list(zip(limits, limits[1:]))
    if not pairs or limits[0] < 0 or not all(a < b for a, b in pairs):
        raise ValueError(
            'expected limits of size bins to be two or more numbers of '
            'pixels that ascend from 0 or more, such as [0, 16, 32, inf], got '
            f'{spec!r}'
        )
    return [SizeBin(f'{low:g}-{high:g}', low, high) for low, high in pairs]


def parse_size_bins(words: Sequence[str]) -> List[SizeBin]:
    """Return the bins of object sizes for arguments of a command line.

    Args:
        words (Sequence[str]): One name, or the limits in pixels.

    Raises:
        ValueError: In the same cases as :func:`size_bins`; the message shows
            limits as they are typed.

    Examples:
        >>> [bin.name for bin in parse_size_bins(['0', '16', 'inf'])]
        ['0-16', '16-inf']
    """
    try:
        return size_bins(words[0] if len(words) == 1 else list(words))
    except ValueError as error:
        raise ValueError(
            f'--size-bins: expected {", ".join(NAMED_BINS)} or two or more '
            'limits in pixels that ascend from 0 or more, such as 0 16 32 '
            f'inf, got {" ".join(map(printable, words))}'
        ) from error
