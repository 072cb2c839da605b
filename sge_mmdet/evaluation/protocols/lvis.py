"""Protocol of LVIS, whose labels are federated."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Dict, List, Optional, Tuple

import numpy as np

from ...utils.text import printable_value
from ..entries import find_ids
from ..evaluation_result import EvaluationResult
from ..ranks import ranks_within_runs
from ..structures import Detections, GroundTruth
from ..subsets import take_rows
from .base import Protocol, ignored_without_crowds, labels_of

FREQUENCIES = ('r', 'c', 'f')
LONGEST_SIDE = 1e9


@dataclass(frozen=True)
class LVIS(Protocol):
    """Protocol of LVIS.

    Source: https://github.com/lvis-dataset/lvis-api (``lvis/eval.py`` and
    ``results.py``). The 300 best detections of an image count, of all classes
    together. In each image only some classes were looked for: detections of
    classes that are neither annotated in it nor in its "neg_category_ids" do
    not exist. Of a class in its "not_exhaustive_category_ids", detections
    that hit nothing are ignored. Objects with "ignore" are ignored; "iscrowd"
    does not count. Objects and detections without any area do not exist. APr,
    APc and APf are the means over the rare, common and frequent classes.

    For masks, the size of a detection is that of its mask, as in COCO. The
    program takes the area of the box where the result has both.
    """

    name: ClassVar[str] = 'lvis'
    counted_of: ClassVar[str] = 'an image'
    metrics: ClassVar[Tuple[str, ...]] = ('bbox', 'segm')
    has_coco_rules: ClassVar[bool] = False

    max_dets: Tuple[int, ...] = (300,)

    def _prepare(
        self, ground_truth: GroundTruth, detections: Detections, metric: str
    ) -> Tuple[GroundTruth, Detections]:
        labels = labels_of(ground_truth)
        categories = len(ground_truth.category_ids)
        negative, not_exhaustive = (
            _pairs(ground_truth, lists, key)
            for lists, key in (
                (labels.negative, 'neg_category_ids'),
                (labels.not_exhaustive, 'not_exhaustive_category_ids'),
            )
        )
        has_size = ground_truth.area > 0
        ground_truth = take_rows(
            ignored_without_crowds(ground_truth), has_size
        )
        present = ground_truth.image * categories + ground_truth.category
        found = detections.image * categories + detections.category
        keep = (
            best_of_images(detections, self.counted)
            & np.isin(found, np.union1d(present, negative))
            & (detections.area > 0)
        )
        return (
            _with_crowds(
                ground_truth,
                # Without objects or detections such a crowd does nothing.
                np.intersect1d(not_exhaustive, found),
                metric,
                labels.frequency,
            ),
            take_rows(detections, keep),
        )

    def _figures(
        self,
        ground_truth: GroundTruth,
        detections: Detections,
        result: EvaluationResult,
        metric: str,
    ) -> Dict[str, Optional[float]]:
        frequency = labels_of(ground_truth).frequency
        of_class = [
            frequency.get(key) for key in ground_truth.category_ids.tolist()
        ]
        figures: Dict[str, Optional[float]] = {}
        for group in FREQUENCIES:
            values = [
                result.ap(category=k)
                for k, one in enumerate(of_class)
                if one == group
            ]
            present = [value for value in values if value is not None]
            figures[f'AP{group}'] = (
                float(np.mean(present)) if present else None
            )
        return figures


def best_of_images(detections: Detections, number: int) -> np.ndarray:
    """Return which detections are the best of their image, of shape (n,).

    Args:
        detections (Detections): Detections, n of them.
        number (int): Largest number of detections of an image, of all classes
            together. Of equal scores the first ones count.
    """
    order = np.lexsort((-detections.score, detections.image))
    keep = np.zeros(len(order), bool)
    keep[order] = ranks_within_runs(detections.image[order]) < number
    return keep


def _pairs(
    ground_truth: GroundTruth, lists: Optional[List[Any]], key: str
) -> np.ndarray:
    """Return pairs of an image and a category, as image * K + category.

    Args:
        ground_truth (GroundTruth): The ground truth, with K categories.
        lists (list, optional): Ids of categories of each image.
        key (str): Key that they come from, for messages.

    Raises:
        ValueError: If they are missing or not ids of categories.
    """
    if lists is None:
        raise ValueError(
            f'{ground_truth.name} has no "{key}" in its images, which the '
            'protocol of LVIS needs; give an annotation file of LVIS, or '
            'choose another protocol'
        )
    known = np.concatenate([ground_truth.category_ids, ground_truth.other_ids])
    rows = []
    for i, ids in enumerate(lists):
        if ids and not (
            isinstance(ids, list)
            and all(type(value) is int for value in ids)
            and (find_ids(known, np.array(ids, float)) >= 0).all()
        ):
            raise ValueError(
                f'{ground_truth.name}: expected "{key}" of image '
                f'{ground_truth.image_ids[i]} to be a list of ids of '
                f'"categories", got {printable_value(ids)}'
            )
        if ids:
            category = find_ids(ground_truth.category_ids, np.array(ids))
            category = category[category >= 0]
            rows.append(i * len(ground_truth.category_ids) + category)
    return np.concatenate([np.zeros(0, int), *rows])


def _with_crowds(
    ground_truth: GroundTruth, pairs: np.ndarray, metric: str, frequency: dict
) -> GroundTruth:
    """Return ground truth with a crowd of the whole image for each pair.

    A crowd is hit by all detections in it that hit no object, and these are
    ignored.

    Args:
        ground_truth (GroundTruth): The ground truth.
        pairs (np.ndarray): Pairs of an image and a category.
        metric (str): Metric, "bbox" or "segm".
        frequency (dict): Frequency of each category by its id.
    """
    image, category = np.divmod(pairs, max(1, len(ground_truth.category_ids)))
    segmentation = ground_truth.segmentation
    if metric == 'segm':
        segmentation = [
            *ground_truth.masks,
            *(
                # A run of no pixels outside, then all pixels inside.
                dict(size=[height, width], counts=[0, height * width])
                for height, width in ground_truth.image_sizes[image].tolist()
            ),
        ]
    whole = [-LONGEST_SIDE, -LONGEST_SIDE, 2 * LONGEST_SIDE, 2 * LONGEST_SIDE]
    number = len(pairs)
    nothing = np.zeros(0, bool)
    return replace(
        ground_truth,
        image=np.r_[ground_truth.image, image],
        category=np.r_[ground_truth.category, category],
        box=np.r_[ground_truth.box, np.tile(whole, (number, 1))],
        area=np.r_[ground_truth.area, np.ones(number)],
        crowd=np.r_[ground_truth.crowd, np.ones(number, bool)],
        segmentation=segmentation,
        labels=replace(
            labels_of(ground_truth),
            ignore=nothing,
            uncertain=nothing,
            negative=None,
            not_exhaustive=None,
            frequency=frequency,
        ),
    )
