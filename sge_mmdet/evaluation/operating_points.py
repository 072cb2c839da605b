"""Score thresholds by object size and class: what each gives.

AP looks at all thresholds at once. Whoever uses a detector chooses one, and
asks for its precision and recall, or for the recall at a number of false
positives per image (the FROC curve of medical imaging).
"""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..utils.tables import Cell, Table
from .bins import SizeBin, with_all_sizes
from .matching import Matches, match
from .ranks import is_last_of_run
from .statuses import HIT, MISSED
from .structures import Detections, GroundTruth

# IoU from which a detection hits an object.
HIT_OVERLAP = 0.5
# Lowest score that counts where no threshold hits any object.
DEFAULT_SCORE = 0.3
# Numbers of false positives per image at which recall is reported, as in the
# challenges that use FROC curves.
FALSE_PER_IMAGE = (0.125, 0.25, 0.5, 1, 2, 4, 8)


@dataclass(frozen=True)
class OperatingPoint:
    """A score threshold and what it gives.

    Attributes:
        score: Lowest score of the detections that count; None if no threshold
            hits any object.
        precision: Share of these detections that hit an object; None without
            a threshold.
        recall: Share of the objects that are hit.
        f1: Harmonic mean of precision and recall.
        false_per_image: Number of false positives per image.
    """

    score: Optional[float]
    precision: Optional[float]
    recall: float
    f1: float
    false_per_image: float


@dataclass(frozen=True)
class ScoreCurve:
    """Hits and false positives of one size over the score threshold.

    It has the thresholds at which further objects are hit; those in between
    only have more false positives. A threshold counts all detections of equal
    scores.

    Attributes:
        score: Thresholds, of shape (n,), descending.
        hits: Number of objects that are hit, of shape (n,).
        false: Number of false positives, of shape (n,).
        objects: Number of objects.
        images: Number of images.
    """

    score: np.ndarray
    hits: np.ndarray
    false: np.ndarray
    objects: int
    images: int

    @property
    def f1(self) -> np.ndarray:
        """np.ndarray: Harmonic means of precision and recall, shape (n,)."""
        return 2 * self.hits / (self.hits + self.false + self.objects)

    def best(self) -> Optional[OperatingPoint]:
        """Return the point of the highest F1; None without objects.

        Of equal ones it is the point with the highest threshold.
        """
        if not self.objects:
            return None
        if not len(self.score):
            return OperatingPoint(None, None, 0.0, 0.0, 0.0)
        best = int(np.argmax(self.f1))
        hits, false = int(self.hits[best]), int(self.false[best])
        return OperatingPoint(
            float(self.score[best]),
            hits / (hits + false),
            hits / self.objects,
            float(self.f1[best]),
            false / self.images,
        )

    def recall_at(self, false_per_image: float) -> Optional[float]:
        """Return the highest recall with so few false positives.

        Args:
            false_per_image (float): Largest number of false positives per
                image.

        Returns:
            float or None: Recall in [0, 1]; None without objects.
        """
        if not self.objects:
            return None
        allowed = self.false <= false_per_image * self.images
        return float(self.hits[allowed].max(initial=0) / self.objects)


@dataclass(frozen=True)
class OperatingPoints:
    """Score thresholds by object size and class, at an IoU of 0.5.

    Attributes:
        bins: Bins of object sizes; the first contains all sizes.
        category_names: Names of the classes.
        curves: Curve of each size, with one threshold for all classes, by
            name of the size.
        class_curves: Curves of each class, by name of the size.
    """

    bins: List[SizeBin]
    category_names: List[str]
    curves: Dict[str, ScoreCurve]
    class_curves: Dict[str, List[ScoreCurve]]

    def best(
        self, size: str = 'all', category: Optional[int] = None
    ) -> Optional[OperatingPoint]:
        """Return the point of the highest F1; None without objects.

        Args:
            size (str): Name of a bin. Default: "all".
            category (int, optional): Index of a class. Default: None, one
                threshold for all classes.
        """
        return self.curve(size, category).best()

    def threshold(self, size: str = 'all') -> float:
        """Return the score with the highest F1; 0.3 without any hit.

        Args:
            size (str): Name of a bin. Default: "all".
        """
        point = self.best(size)
        if point is None or point.score is None:
            return DEFAULT_SCORE
        return point.score

    def curve(
        self, size: str = 'all', category: Optional[int] = None
    ) -> ScoreCurve:
        """Return a curve; arguments are those of :meth:`best`.

        Raises:
            ValueError: If there is no such size.
        """
        if size not in self.curves:
            raise ValueError(
                f'size: expected one of {", ".join(self.curves)}, got {size!r}'
            )
        if category is None:
            return self.curves[size]
        return self.class_curves[size][category]

    def table(self, classes: bool = False) -> Table:
        """Return the points of the highest F1 and the recalls of FROC.

        The columns "R@0.125" and so on are the recall with at most so many
        false positives per image.

        Args:
            classes (bool): Whether the rows are classes and sizes. Default:
                False, they are sizes.
        """
        rows: List[List[Cell]] = []
        if classes:
            for k, name in enumerate(self.category_names):
                rows += [
                    [name, bin.name, *_cells(self.curve(bin.name, k))]
                    for bin in self.bins
                    if self.curve(bin.name, k).objects
                ]
        else:
            rows = [
                [bin.name, *_cells(self.curves[bin.name])] for bin in self.bins
            ]
        names = ('class', 'size') if classes else ('size',)
        return Table(
            (
                *names,
                *('objects', 'score', 'precision', 'recall', 'F1'),
                'false/image',
                *(f'R@{number:g}' for number in FALSE_PER_IMAGE),
            ),
            rows,
        )

    def to_dict(self) -> Dict[str, Any]:
        """Return both tables as plain dicts and lists, for JSON."""
        return dict(
            sizes=self.table().records(),
            classes=self.table(classes=True).records(),
        )


def _cells(curve: ScoreCurve) -> List[Cell]:
    """Return the cells of a curve from "objects" on."""
    point = curve.best()
    values: Sequence[Cell] = [None] * 5
    if point is not None:
        values = [
            *(point.score, point.precision, point.recall),
            *(point.f1, point.false_per_image),
        ]
    recalls = map(curve.recall_at, FALSE_PER_IMAGE)
    return [curve.objects, *values, *recalls]


def find_operating_points(
    ground_truth: GroundTruth,
    detections: Detections,
    bins: Sequence[SizeBin],
    metric: str = 'bbox',
    max_dets: int = 100,
) -> OperatingPoints:
    """Find the score thresholds of a detector by object size and class.

    A detection is a false positive of a size if it hits nothing and its own
    size is in the bin, as in COCO's evaluation.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        bins (Sequence[SizeBin]): Bins of object sizes besides "all".
        metric (str): Metric, "bbox" or "segm". Default: "bbox".
        max_dets (int): Largest number of detections per image and class.
            Default: 100.

    Returns:
        OperatingPoints: Points and curves.
    """
    bins = with_all_sizes(bins)
    matches = match(
        ground_truth, detections, bins, metric, [HIT_OVERLAP], max_dets
    )
    return points_of_matches(matches, bins, ground_truth.category_names)


def points_of_matches(
    matches: Matches, bins: Sequence[SizeBin], category_names: Sequence[str]
) -> OperatingPoints:
    """Find the score thresholds of matched detections.

    Args:
        matches (Matches): Matches in the bin of all sizes and the other bins,
            at one IoU.
        bins (Sequence[SizeBin]): These bins.
        category_names (Sequence[str]): Names of the classes.

    Returns:
        OperatingPoints: Points and curves.
    """
    by_score = np.argsort(-matches.score, kind='stable')
    classes = np.arange(len(category_names) + 1)
    images = matches.objects.shape[1]
    curves, class_curves = {}, {}
    for a, bin in enumerate(bins):
        objects = matches.objects[a :: len(bins)].sum(1).A1
        status = matches.status[:, a, 0]
        is_hit = status == HIT
        counts = is_hit | (status == MISSED) & matches.inside[:, a]
        rows = by_score[counts[by_score]]
        curves[bin.name] = _curve(
            matches.score[rows], is_hit[rows], (int(objects.sum()), images)
        )
        rows = np.flatnonzero(counts)
        score, hit = matches.score[rows], is_hit[rows]
        limits = np.searchsorted(matches.category[rows], classes)
        class_curves[bin.name] = [
            _curve(score[own], hit[own], (int(number), images))
            for own, number in zip(map(slice, limits, limits[1:]), objects)
        ]
    return OperatingPoints(
        list(bins), list(category_names), curves, class_curves
    )


def _curve(
    score: np.ndarray,
    hit: np.ndarray,
    numbers: Tuple[int, int],
) -> ScoreCurve:
    """Return the curve of the detections that count.

    Args:
        score (np.ndarray): Scores of shape (n,), descending.
        hit (np.ndarray): Which detections hit an object, of shape (n,). The
            others are false positives.
        numbers (tuple[int, int]): Numbers of objects and of images.
    """
    last = np.flatnonzero(is_last_of_run(score))
    hits = np.cumsum(hit)[last]
    gains = np.diff(hits, prepend=0) > 0
    last, hits = last[gains], hits[gains]
    return ScoreCurve(score[last], hits, last + 1 - hits, *numbers)
