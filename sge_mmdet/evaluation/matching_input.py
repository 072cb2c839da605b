"""What detections choose from, in the order of COCO's matching."""

import ctypes
from dataclasses import dataclass
from typing import NamedTuple, Sequence, Tuple, Union

import numpy as np

from .bins import SizeBin
from .native import Matcher
from .overlaps import overlaps, pairs_of_equal_keys
from .ranks import ranks_within_runs
from .settings import Settings
from .structures import Detections, GroundTruth


class Pairs(NamedTuple):
    """Detections and objects of the same image and class that overlap.

    Attributes:
        detection: Positions in :class:`SortedDetections`, ascending, of shape
            (pairs,).
        object: Positions in ``MatchingInput.objects``, of shape (pairs,).
        overlap: Intersections over union, of shape (pairs,).
    """

    detection: np.ndarray
    object: np.ndarray
    overlap: np.ndarray

    def take(self, rows: Union[np.ndarray, slice]) -> 'Pairs':
        """Return some of the pairs.

        Args:
            rows (np.ndarray or slice): Which ones.
        """
        return Pairs(*(column[rows] for column in self))


class SortedDetections(NamedTuple):
    """The detections that count, by group, then by descending score.

    Attributes:
        positions: Positions in the :class:`Detections`, of shape (n,).
        groups: Group of each: a class, and within it an image; of shape (n,),
            ascending.
    """

    positions: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class MatchingInput:
    """Ground truth and detections in the order of COCO's matching.

    Attributes:
        ground_truth: The ground truth.
        detections: Detections on its images.
        settings: Settings of the evaluation; its last ``max_dets`` is the
            number of detections that count.
        detection_images: Rank of each detection's image in the order of ids,
            which decides who is first among equal scores; of shape (n,).
        objects: Positions of the objects, by class, then by image, of shape
            (m,).
        object_images: Rank of each of their images, of shape (m,).
        crowd: Which of these objects are crowds, of shape (m,).
        ignored: Which of them count neither as hits nor as errors, of shape
            (m, bins).
        limits: Overlaps at which a detection can choose an object, of shape
            (thresholds,).
    """

    ground_truth: GroundTruth
    detections: Detections
    settings: Settings
    detection_images: np.ndarray
    objects: np.ndarray
    object_images: np.ndarray
    crowd: np.ndarray
    ignored: np.ndarray
    limits: np.ndarray

    def sorted_detections(self) -> SortedDetections:
        """Return the detections that count, by group and score."""
        detections = self.detections
        groups = self._groups(detections.category, self.detection_images)
        order = np.lexsort((-detections.score, groups))
        most = self.settings.max_dets[-1]
        order = order[ranks_within_runs(groups[order]) < most]
        return SortedDetections(order, groups[order])

    def pairs(self, in_groups: SortedDetections) -> Pairs:
        """Return the pairs of a group whose overlap reaches a threshold.

        Args:
            in_groups (SortedDetections): What ``sorted_detections`` returns.
        """
        detection, object = pairs_of_equal_keys(
            in_groups.groups,
            self._groups(
                self.ground_truth.category[self.objects], self.object_images
            ),
        )
        overlap = overlaps(
            self.ground_truth,
            self.detections,
            self.objects[object],
            in_groups.positions[detection],
            self.settings.metric,
        )
        return Pairs(detection, object, overlap).take(
            overlap >= self.limits.min()
        )

    def matcher(self, library: ctypes.CDLL) -> Matcher:
        """Return the matching of the library of loops.

        Args:
            library (ctypes.CDLL): The library.
        """
        ground_truth, detections = self.ground_truth, self.detections
        return Matcher(
            library,
            (
                len(ground_truth.category_ids),
                len(ground_truth.image_ids),
                self.settings.max_dets[-1],
            ),
            self.limits,
            dict(
                category=detections.category,
                image=self.detection_images,
                box=detections.box,
                score=detections.score,
            ),
            dict(
                category=ground_truth.category[self.objects],
                image=self.object_images,
                box=ground_truth.box[self.objects],
                position=self.objects,
                crowd=self.crowd,
                ignored=self.ignored,
            ),
            self._pairs_by_detection() if self.settings.has_masks else None,
        )

    def _pairs_by_detection(
        self,
    ) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        in_groups = self.sorted_detections()
        pairs = self.pairs(in_groups)
        position = in_groups.positions[pairs.detection]
        order = np.argsort(position, kind='stable')
        counts = np.bincount(position, minlength=len(self.detections.score))
        return (
            np.concatenate([[0], np.cumsum(counts)]),
            pairs.object[order],
            pairs.overlap[order],
        )

    def count_objects(self) -> np.ndarray:
        """Count the objects that are not ignored, by class and bin."""
        category = self.ground_truth.category[self.objects]
        shape = len(self.ground_truth.category_ids), self.ignored.shape[1]
        rows, a = np.nonzero(~self.ignored)
        cells = category[rows] * shape[1] + a
        return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)

    def _groups(self, category: np.ndarray, image: np.ndarray) -> np.ndarray:
        return category * len(self.ground_truth.image_ids) + image


def prepare(
    ground_truth: GroundTruth, detections: Detections, settings: Settings
) -> MatchingInput:
    """Return ground truth and detections in the order of the matching.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        settings (Settings): Settings of the evaluation.
    """
    rank = np.argsort(np.argsort(ground_truth.image_ids))
    images = rank[ground_truth.image]
    objects = np.lexsort((images, ground_truth.category))
    crowd = ground_truth.crowd[objects]
    inside = are_inside(ground_truth.area[objects], settings.bins)
    return MatchingInput(
        ground_truth,
        detections,
        settings,
        rank[detections.image],
        objects,
        images[objects],
        crowd,
        crowd[:, None] | ~inside,
        # As COCO does, so that equal boxes reach a threshold of 1.
        np.minimum(settings.thresholds, 1 - 1e-10),
    )


def are_inside(area: np.ndarray, bins: Sequence[SizeBin]) -> np.ndarray:
    """Return which areas are in which bins, of shape (n, bins).

    Args:
        area (np.ndarray): Areas in square pixels, of shape (n,).
        bins (Sequence[SizeBin]): Bins of object sizes.
    """
    return np.column_stack([bin.holds(area) for bin in bins])
