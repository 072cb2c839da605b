"""A detector and the content of a page, as the page's modules share them."""

from dataclasses import dataclass, field
from typing import Any, Dict, Optional

import numpy as np

from ..matching import Matches
from ..structures import Detections, GroundTruth
from .outcomes import Outcomes, find_outcomes


@dataclass
class Content:
    """Content of a page.

    Attributes:
        title: Title of the page.
        values: Values that the page holds as JSON.
        columns: Columns of numbers.
        files: Content of files in ``CROP_FOLDER``, by name.
    """

    title: str
    values: Dict[str, Any]
    columns: Dict[str, np.ndarray]
    files: Dict[str, bytes] = field(default_factory=dict)


class Detector:
    """A detector with what became of its detections.

    Attributes:
        name: Name of the detector.
        detections: Its detections.
        outcomes: What became of objects and detections.
    """

    def __init__(
        self,
        name: str,
        ground_truth: GroundTruth,
        detections: Detections,
        metric: str,
        max_dets: int,
        matches: Optional[Matches] = None,
    ) -> None:
        self.name = name
        self.detections = detections
        self.outcomes: Outcomes = find_outcomes(
            ground_truth, detections, metric, max_dets, matches
        )
