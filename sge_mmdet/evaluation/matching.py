"""COCO's matching of detections to objects, for all sizes and thresholds.

Resampling and the breakdown of errors need to know which detection hit which
object, which COCO engines do not tell.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Sequence

import numpy as np

from .bins import SizeBin
from .matching_input import MatchingInput, are_inside, prepare
from .matching_turns import match_in_turns
from .native.loading import library
from .settings import COCO_THRESHOLDS, Settings
from .structures import Detections, GroundTruth

if TYPE_CHECKING:
    # Where it is used it is imported late, because that takes long.
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class Matches:
    """Which detection hit which object.

    The detections are those that count, at most ``max_dets`` per image and
    class, by class and then by descending score.

    Attributes:
        image: Index of each detection's image, of shape (n,).
        category: Index of each detection's category, of shape (n,),
            ascending.
        score: Scores, of shape (n,).
        index: Position of each detection in the :class:`Detections`, of shape
            (n,).
        status: MISSED if the detection hit nothing, HIT if it hit an object,
            IGNORED if it hit a crowd or an object of another size; shape (n,
            bins, thresholds).
        partner: Position of the object that was hit in the
            :class:`GroundTruth`, or -1; shape (n, bins, thresholds). Without
            partners, shape (n, 0, 0).
        inside: Whether the detection's own size is in the bin; shape (n,
            bins).
        objects: Number of objects that are not ignored, of shape (categories
            * bins, images). It is sparse, because few images have objects of
            a category.
    """

    image: np.ndarray
    category: np.ndarray
    score: np.ndarray
    index: np.ndarray
    status: np.ndarray
    partner: np.ndarray
    inside: np.ndarray
    objects: 'csr_matrix'

    def of_bin(self, a: int) -> 'Matches':
        """Return the matches of one bin.

        Args:
            a (int): Index of the bin.
        """
        only, bins = slice(a, a + 1), self.status.shape[1]
        return replace(
            self,
            status=self.status[:, only],
            partner=self.partner[:, only],
            inside=self.inside[:, only],
            objects=self.objects[a::bins],
        )


def match(
    ground_truth: GroundTruth,
    detections: Detections,
    bins: Sequence[SizeBin],
    metric: str = 'bbox',
    thresholds: Sequence[float] = COCO_THRESHOLDS,
    max_dets: int = 100,
    partners: bool = True,
) -> Matches:
    """Match detections to objects as COCO's evaluation does.

    Within an image and class, detections choose in the order of their scores.
    Each takes the free object that it overlaps most, and an ignored object
    only if there is no other. A crowd can be taken many times.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        bins (Sequence[SizeBin]): Bins of object sizes. Objects of other sizes
            are ignored.
        metric (str): Metric, "bbox" or "segm". Default: "bbox".
        thresholds (Sequence[float]): IoU thresholds. Default: 0.5 to 0.95.
        max_dets (int): Largest number of detections per image and class.
            Default: 100.
        partners (bool): Whether to tell which objects were hit, which takes
            four times the memory of the rest. Default: True.

    Returns:
        Matches: The matches.
    """
    given = prepare(
        ground_truth,
        detections,
        Settings(bins, metric, thresholds, [max_dets]),
    )
    built = library()
    index, status, partner = (
        match_in_turns(given, partners)
        if built is None
        else given.matcher(built).match(partners)
    )
    return Matches(
        detections.image[index],
        detections.category[index],
        detections.score[index],
        index,
        status,
        partner,
        are_inside(detections.area[index], bins),
        _count_objects(given),
    )


def _count_objects(given: MatchingInput) -> 'csr_matrix':
    """Count the objects that are not ignored, as ``Matches.objects``.

    Args:
        given (MatchingInput): Ground truth and detections.
    """
    from scipy.sparse import csr_matrix

    ground_truth, bins = given.ground_truth, given.ignored.shape[1]
    rows, a = np.nonzero(~given.ignored)
    counted = given.objects[rows]
    return csr_matrix(
        (
            np.ones(len(counted), np.float32),
            (
                ground_truth.category[counted] * bins + a,
                ground_truth.image[counted],
            ),
        ),
        (
            len(ground_truth.category_ids) * bins,
            len(ground_truth.image_ids),
        ),
    )
