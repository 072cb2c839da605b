"""Settings of an evaluation, the same for every engine."""

from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .bins import SizeBin

# COCO's IoU thresholds, 0.5 to 0.95.
COCO_THRESHOLDS: Tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 10))
MOST_DETECTIONS = 1_000_000_000
METRICS = ('bbox', 'segm', 'proposal')


def check_choice(
    name: str, value: Optional[str], choices: Sequence[Optional[str]]
) -> None:
    """Raise if an argument has an unknown value.

    Args:
        name (str): Name of the argument, for the message.
        value (str, optional): Value of the argument.
        choices (Sequence[str]): Known values.

    Raises:
        ValueError: If the value is unknown.
    """
    if value not in choices:
        raise ValueError(
            f'expected {name} to be one of {", ".join(map(str, choices))}, '
            f'got {value!r}'
        )


def check_max_dets(value: int) -> int:
    """Return a number of detections per image and class, checked.

    Args:
        value (int): Largest number of detections.

    Raises:
        ValueError: If it is not a whole number from 1 to 1,000,000,000.
    """
    if (
        not isinstance(value, int)
        or isinstance(value, bool)
        or not 1 <= value <= MOST_DETECTIONS
    ):
        raise ValueError(
            'expected max_dets, the largest number of detections per image '
            'and class, to be a whole number from 1 to 1,000,000,000, got '
            f'{value!r}'
        )
    return value


class Settings(NamedTuple):
    """Settings of an evaluation.

    Attributes:
        bins: Bins of object sizes.
        metric: "bbox", "segm", or "proposal", which ignores categories.
        thresholds: IoU thresholds.
        max_dets: Largest numbers of detections per image and category,
            ascending.
    """

    bins: Sequence[SizeBin]
    metric: str = 'bbox'
    thresholds: Sequence[float] = COCO_THRESHOLDS
    max_dets: Sequence[int] = (100,)

    @property
    def has_masks(self) -> bool:
        """bool: Whether masks are evaluated."""
        return self.metric == 'segm'

    @property
    def by_category(self) -> bool:
        """bool: Whether categories are evaluated one by one."""
        return self.metric != 'proposal'
