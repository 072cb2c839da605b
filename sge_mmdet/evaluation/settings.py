"""Settings of an evaluation that every engine takes."""

from typing import NamedTuple, Sequence, Tuple

import numpy as np

from .bins import SizeBin

# COCO's IoU thresholds, 0.5 to 0.95.
COCO_THRESHOLDS: Tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 10))
METRICS = ('bbox', 'segm', 'proposal')


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
