"""Protocol of VisDrone's detection in images."""

import warnings
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, ClassVar, List, Optional, Sequence, Tuple

import numpy as np

from ...utils.text import printable
from ..bins import with_all_sizes
from ..evaluation_result import EvaluationResult
from ..matching import Matches, match
from ..protocol_labels import is_region
from ..ranks import ranks_within_runs
from ..recalls import COCO_RECALLS
from ..resampled_figures import ResampledFigures
from ..statuses import HIT, MISSED
from ..structures import Detections, GroundTruth
from ..subsets import of_categories, take_rows
from .base import Protocol, labels_of, recalls_of
from .lvis import best_of_images

# Share of a box in ignored regions from which it is left out.
INSIDE = 0.5
# Largest number of ignored regions of an image, which bounds the memory.
MOST_REGIONS = 1000


@dataclass(frozen=True)
class VisDrone(Protocol):
    """Protocol of VisDrone's detection in images (VisDrone-DET).

    Source: https://github.com/VisDrone/VisDrone2018-DET-toolkit
    (``calcAccuracy.m``, ``evalRes.m``, ``dropObjectsInIgr.m``). Objects and
    detections that lie by half or more in ignored regions do not exist;
    regions are the annotations of a category "ignored regions". The category
    "others" is not evaluated. Objects with "ignore" or "iscrowd" are ignored,
    and so are detections that hit no object and lie in one of them, by the
    intersection over the detection's area. The best detections of an image
    count, of all classes together: 1, 10, 100 and 500, AP with 500. AP is the
    area under the curve of precision, not its mean at 101 recalls.

    As in the toolkit, a mean over the classes weights each class by the number
    of images that hold it, and ignored objects count in the recall. The
    toolkit takes the first lines of a result file for the best detections; the
    scores are compared here. It has no sizes; those of COCO are added.
    """

    name: ClassVar[str] = 'visdrone'
    counted_of: ClassVar[str] = 'an image'
    metrics: ClassVar[Tuple[str, ...]] = ('bbox',)
    has_coco_rules: ClassVar[bool] = False

    max_dets: Tuple[int, ...] = (1, 10, 100, 500)

    def _prepare(
        self, ground_truth: GroundTruth, detections: Detections, metric: str
    ) -> Tuple[GroundTruth, Detections]:
        ground_truth = replace(
            ground_truth,
            crowd=ground_truth.crowd | labels_of(ground_truth).ignore,
        )
        regions = _Regions(ground_truth)
        ground_truth = take_rows(
            ground_truth, ~regions.hold(ground_truth.image, ground_truth.box)
        )
        detections = take_rows(
            detections, ~regions.hold(detections.image, detections.box)
        )
        detections = take_rows(
            detections, best_of_images(detections, self.counted)
        )
        evaluated = [
            k
            for k, name in enumerate(ground_truth.category_names)
            if not is_region(name) and name.lower().strip() != 'others'
        ]
        return of_categories(
            replace(ground_truth, labels=None), detections, np.array(evaluated)
        )

    def evaluate(
        self,
        ground_truth: GroundTruth,
        detections: Detections,
        metric: str = 'bbox',
        engine: Optional[str] = None,
    ) -> EvaluationResult:
        """Evaluate what :meth:`prepare` returned.

        Args:
            ground_truth (GroundTruth): Prepared ground truth.
            detections (Detections): Prepared detections.
            metric (str): Metric, "bbox". Default: "bbox".
            engine (str, optional): Not used: no engine has this AP.

        Returns:
            EvaluationResult: Figures by size, and recalls.
        """
        bins = with_all_sizes(self.bins)
        matches = match(
            ground_truth,
            detections,
            bins,
            metric,
            self.thresholds,
            max(1, len(detections.image)),
            partners=False,
        )
        objects, weights = self._objects(ground_truth, matches, len(bins))
        result = self._accumulate(matches, objects)
        counted = np.asarray(matches.objects.sum(1)).reshape(objects.shape)
        evaluation = EvaluationResult(
            *result,
            tuple(self.thresholds),
            bins,
            self.max_dets,
            counted.astype(int),
            ground_truth.category_names,
            class_weights=weights,
        )
        return replace(evaluation, figures=recalls_of(evaluation))

    def resample(
        self,
        ground_truth: GroundTruth,
        results: Sequence[Detections],
        *args: Any,
        **kwargs: Any,
    ) -> List[ResampledFigures]:
        """Compute figures on resamples, and warn that AP is COCO's.

        Takes and returns what :meth:`Protocol.resample` does.
        """
        warnings.warn(
            'a comparison by the protocol of VisDrone has its ignored regions '
            "and numbers of detections, but COCO's AP: the mean precision at "
            '101 recalls, all classes alike; its AP differs a little from '
            'that of an evaluation',
            stacklevel=2,
        )
        return super().resample(ground_truth, results, *args, **kwargs)

    def _objects(
        self, ground_truth: GroundTruth, matches: Matches, bins: int
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Return numbers of objects, and numbers of images, by category.

        Args:
            ground_truth (GroundTruth): Prepared ground truth.
            matches (Matches): Matches in all bins.
            bins (int): Number of bins; the first one has all sizes, and
                ignored objects too.

        Returns:
            tuple[np.ndarray, np.ndarray]: Objects of shape (categories,
            bins), and images of shape (categories,).
        """
        categories = len(ground_truth.category_ids)
        objects = np.asarray(matches.objects.sum(1)).reshape(categories, bins)
        objects[:, 0] = np.bincount(
            ground_truth.category, minlength=categories
        )
        pairs = np.unique(
            np.stack([ground_truth.category, ground_truth.image]), axis=1
        )
        return objects, np.bincount(pairs[0], minlength=categories)

    def _accumulate(
        self, matches: Matches, objects: np.ndarray
    ) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return precision, curves and recall of an evaluation.

        Args:
            matches (Matches): Matches of the detections.
            objects (np.ndarray): Numbers of objects, of shape (categories,
                bins).
        """
        _, bins, thresholds = matches.status.shape
        shape = (thresholds, len(objects), bins, len(self.max_dets))
        precision, recall = np.full(shape, -1.0), np.full(shape, -1.0)
        curves = np.zeros((thresholds, 101, bins, len(self.max_dets)))
        counts = (objects > 0).sum(0)
        rank = _rank_in_image(matches)
        limits = np.searchsorted(matches.category, np.arange(len(objects) + 1))
        for (k, a), m in product(
            np.argwhere(objects > 0).tolist(), range(len(self.max_dets))
        ):
            own = np.arange(int(limits[k]), int(limits[k + 1]))
            own = own[rank[own] < self.max_dets[m]]
            status = matches.status[own, a].T
            false = (status == MISSED) & matches.inside[own, a]
            for t in range(thresholds):
                curve = _Curve(
                    status[t] == HIT, false[t], float(objects[k, a])
                )
                precision[t, k, a, m] = curve.area
                recall[t, k, a, m] = curve.last_recall
                curves[t, :, a, m] += curve.at_recalls() / counts[a]
        curves[:, :, counts == 0] = -1
        return precision, curves, recall


class _Curve:
    """Precision over recall of one class, size and threshold.

    Args:
        hit (np.ndarray): Which detections are hits, by descending score, of
            shape (n,).
        false (np.ndarray): Which are false, of shape (n,).
        objects (float): Number of objects.
    """

    def __init__(
        self, hit: np.ndarray, false: np.ndarray, objects: float
    ) -> None:
        hits, falses = np.cumsum(hit), np.cumsum(false)
        precision = hits / np.maximum(1, hits + falses)
        self.recall = hits / max(1, objects)
        self.precision = np.maximum.accumulate(precision[::-1])[::-1]

    @property
    def last_recall(self) -> float:
        """float: Recall of all detections."""
        return float(self.recall[-1]) if len(self.recall) else 0.0

    @property
    def area(self) -> float:
        """float: Area under the curve."""
        steps = np.diff(self.recall, prepend=0.0)
        return float((steps * self.precision).sum())

    def at_recalls(self) -> np.ndarray:
        """Return the precision at 101 recalls."""
        place = np.searchsorted(self.recall, COCO_RECALLS)
        return np.r_[self.precision, 0][place]


def _rank_in_image(matches: Matches) -> np.ndarray:
    """Return the rank of each detection in its image, of shape (n,).

    Equal scores stand in the order of the result.
    """
    order = np.lexsort((matches.index, -matches.score, matches.image))
    rank = np.zeros(len(order), int)
    rank[order] = ranks_within_runs(matches.image[order])
    return rank


class _Regions:
    """Ignored regions of all images, in pixels.

    As in the toolkit, a region covers the pixels from its first corner to
    the last one, both included, and a box those after its first corner.

    Args:
        ground_truth (GroundTruth): The ground truth.

    Raises:
        ValueError: If an image with regions has no size, or too many regions.
    """

    def __init__(self, ground_truth: GroundTruth) -> None:
        labels = labels_of(ground_truth)
        self.sizes = ground_truth.image_sizes
        self.image = labels.region_image
        self.box = labels.region_box
        images, counts = np.unique(self.image, return_counts=True)
        wrong = (counts > MOST_REGIONS) | (self.sizes[images] < 1).any(1)
        if wrong.any():
            name = ground_truth.file_names[images[wrong.argmax()]]
            raise ValueError(
                f'{ground_truth.name}: image {printable(name)!r} has ignored '
                'regions, for which the protocol of VisDrone needs its height '
                f'and width, and at most {MOST_REGIONS} regions'
            )

    def hold(self, image: np.ndarray, box: np.ndarray) -> np.ndarray:
        """Return which boxes lie in regions by half or more.

        Args:
            image (np.ndarray): Index of the image of each box, of shape (n,).
            box (np.ndarray): Boxes (x, y, width, height), of shape (n, 4).

        Returns:
            np.ndarray: Booleans of shape (n,).
        """
        inside = np.zeros(len(image), bool)
        for i in np.unique(self.image).tolist():
            own = np.flatnonzero(image == i)
            height, width = self.sizes[i].tolist()
            covered = _covered_pixels(
                _rounded(self.box[self.image == i]),
                _rounded(box[own]),
                (width, height),
            )
            inside[own] = covered / _rounded(box[own])[:, 2:].prod(1) >= INSIDE
        return inside


def _rounded(box: np.ndarray) -> np.ndarray:
    """Return boxes in whole pixels, all numbers 1 or more."""
    return np.maximum(1, np.floor(box + 0.5))


def _covered_pixels(
    regions: np.ndarray, boxes: np.ndarray, size: Tuple[int, int]
) -> np.ndarray:
    """Return how many pixels of each box the regions cover.

    The edges of the regions cut the image into cells, which are covered or
    not.

    Args:
        regions (np.ndarray): Regions (x, y, width, height) in whole pixels, of
            shape (r, 4).
        boxes (np.ndarray): Boxes, of shape (n, 4).
        size (tuple[int, int]): Width and height of the image.

    Returns:
        np.ndarray: Numbers of pixels, of shape (n,).
    """
    limits: List[np.ndarray] = []
    in_cells: List[np.ndarray] = []
    for axis, length in enumerate(size):
        # Half-open ranges of pixels, the first of which is 1.
        first = regions[:, axis]
        last = np.minimum(length, first + regions[:, axis + 2]) + 1
        edges = np.unique(np.r_[first, last])
        limits.append(np.stack([edges[:-1], edges[1:]]))
        in_cells.append(
            (first[:, None] <= edges[:-1]) & (edges[1:] <= last[:, None])
        )
    covered = (in_cells[0].T.astype(float) @ in_cells[1].astype(float)) > 0
    shares = []
    for axis, (length, cells) in enumerate(zip(size, limits)):
        first = np.minimum(length, boxes[:, axis])
        last = np.minimum(length, first + boxes[:, axis + 2])
        begin = np.maximum(first[:, None] + 1, cells[0])
        end = np.minimum(last[:, None] + 1, cells[1])
        shares.append(np.maximum(0, end - begin))
    return ((shares[0] @ covered) * shares[1]).sum(1)
