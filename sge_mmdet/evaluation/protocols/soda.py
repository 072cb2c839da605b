"""Protocols of SODA-D and SODA-A."""

from dataclasses import dataclass, replace
from typing import ClassVar, Optional, Tuple

from ..bins import SizeBin
from ..structures import Detections, GroundTruth
from .base import Protocol, ignored_without_crowds

BINS = (
    SizeBin('all', 0, 32),
    SizeBin('eS', 0, 12),
    SizeBin('rS', 12, 20),
    SizeBin('gS', 20, 32),
    # The largest objects of SODA have 40 x 50 pixels.
    SizeBin('Normal', 32, 2000**0.5),
)


@dataclass(frozen=True)
class SODAD(Protocol):
    """Protocol of SODA-D.

    Source: https://github.com/shaunyuan22/SODA-mmdetection
    (``mmdet/datasets/sodad_eval/sodadeval.py`` and ``sodad.py``). AP counts
    100 detections per image and class, and objects of up to 32 x 32 pixels
    only: extremely small (up to 12 x 12), relatively small (20 x 20) and
    generally small. Normal objects, up to 2,000 square pixels, have figures of
    their own. AR by size counts 1,000 detections. Objects with "ignore" are
    ignored; "iscrowd" does not count.
    """

    name: ClassVar[str] = 'soda-d'
    metrics: ClassVar[Tuple[str, ...]] = ('bbox',)
    has_coco_rules: ClassVar[bool] = False

    bins: Tuple[SizeBin, ...] = BINS
    max_dets: Tuple[int, ...] = (100, 300, 1000)
    ap_max_dets: Optional[int] = 100

    def _prepare(
        self, ground_truth: GroundTruth, detections: Detections, metric: str
    ) -> Tuple[GroundTruth, Detections]:
        return ignored_without_crowds(ground_truth), detections


@dataclass(frozen=True)
class SODAA(Protocol):
    """Protocol of SODA-A, for boxes that are not rotated.

    Source: https://github.com/shaunyuan22/SODA-mmrotate
    (``mmrotate/datasets/sodaa_eval/sodaa_eval.py``). It has the sizes of
    SODA-D, by the areas of the boxes, and counts 20,000 detections per image
    and class. No object is ignored. Its boxes are rotated; MMDetection's are
    not, so that figures can only be compared with others of such boxes. Since
    July 2025 the program tries the object that a detection overlaps most and
    no other; this is the version of the paper, which goes on to the next one.
    """

    name: ClassVar[str] = 'soda-a'
    metrics: ClassVar[Tuple[str, ...]] = ('bbox',)
    has_coco_rules: ClassVar[bool] = False

    bins: Tuple[SizeBin, ...] = BINS
    max_dets: Tuple[int, ...] = (20000,)

    def _prepare(
        self, ground_truth: GroundTruth, detections: Detections, metric: str
    ) -> Tuple[GroundTruth, Detections]:
        prepared = replace(ground_truth, labels=None).with_box_areas()
        return ignored_without_crowds(prepared), detections
