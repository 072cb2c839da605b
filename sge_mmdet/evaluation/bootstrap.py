"""Average precision of resampled data sets, from one matching pass.

A resample draws as many images as there are, with replacement. An image that
is drawn three times counts three times, so that resampling is a matter of
weighing each detection and object by its image.
"""

from typing import Iterator, Optional, Sequence, Tuple

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor
from tqdm import tqdm

from ..utils.json_files import available_memory
from .bins import SizeBin
from .matching import HIT, IGNORED, Matches
from .settings import COCO_THRESHOLDS
from .structures import GroundTruth

RECALLS = torch.from_numpy(np.linspace(0, 1, 101))


def check_memory(
    ground_truth: GroundTruth,
    bins: Sequence[SizeBin],
    resamples: int,
    results: int = 1,
) -> None:
    """Raise if resamples do not fit into the memory that is free.

    Args:
        ground_truth (GroundTruth): The ground truth.
        bins (Sequence[SizeBin]): Sizes, "all" counted or not.
        resamples (int): How many.
        results (int): How many results are resampled. Default: 1.

    Raises:
        ValueError: With how many fit.
    """
    images, categories = (
        len(ground_truth.image_ids),
        len(np.unique(ground_truth.category)),
    )
    figures = (categories + 1) * (len(bins) + 1)
    # A resample holds how often each image is drawn (twice while these counts
    # are put together), all thresholds' figures in 4 bytes, four tables of
    # their means while they are made, and the figures kept of each result.
    each = (
        16 * images
        + 4 * len(COCO_THRESHOLDS) * figures
        + 8 * (4 + results) * figures
    )
    # A chunk's arrays, of images and of detections, are small beside these.
    available = available_memory()
    if resamples * each > available:
        raise ValueError(
            f'{resamples} resamples of {images} images and {categories} '
            f'categories take up to {resamples * each / 1e9:.1f} GB of '
            f'memory, of which {available / 1e9:.1f} GB are free; '
            f'{available // each} resamples fit'
        )


def resample_weights(images: int, resamples: int, seed: int) -> np.ndarray:
    """Draw how often each image is in each resample.

    Args:
        images (int): Number of images.
        resamples (int): Number of resamples.
        seed (int): Of the draw.

    Returns:
        np.ndarray: Shape (resamples, images); each row sums to ``images``.
    """
    random = np.random.default_rng(seed)
    return random.multinomial(images, np.full(images, 1 / images), resamples)


def weighted_ap(
    matches: Matches,
    weights: np.ndarray,
    chunk: int = 128,
    progress: bool = False,
) -> np.ndarray:
    """Return average precision under weights of the images.

    With weights of 1 it is COCO's; with counts it is that of a data set in
    which each image stands as often, side by side.

    Args:
        matches (Matches): Of the detections.
        weights (np.ndarray): Shape (resamples, images).
        chunk (int): Resamples at once, a matter of memory. Default: 128.
        progress (bool): Whether to show a progress bar. Default: False.

    Returns:
        np.ndarray: Shape (resamples, thresholds, categories, bins); NaN where
        there is no object.
    """
    _, bins, thresholds = matches.status.shape
    categories = matches.objects.shape[0] // bins
    result = np.full(
        (len(weights), thresholds, categories, bins),
        np.nan,
        np.float32 if len(weights) > 1 else float,
    )
    parts = list(_parts(matches))
    for begin in tqdm(
        range(0, len(weights), chunk), desc='resampling', disable=not progress
    ):
        rows = slice(begin, begin + chunk)
        # Rows of images: what is gathered then lies side by side.
        weight = torch.from_numpy(
            np.ascontiguousarray(weights[rows].T, np.float32)
        )
        numbers = torch.from_numpy(matches.objects @ weight.numpy()).double()
        for k, a, part in parts:
            number = numbers[k * bins + a]
            ap = part.ap(weight, number)
            ap[:, number == 0] = torch.nan
            result[rows, :, k, a] = ap.T.numpy()
    return result


def _parts(matches: Matches) -> 'Iterator[Tuple[int, int, _Part]]':
    """Yield the matches of each category and bin that has objects."""
    bins = matches.status.shape[1]
    rows, images = matches.objects.shape
    limits = np.searchsorted(matches.category, np.arange(rows // bins + 1))
    for row in np.flatnonzero(np.diff(matches.objects.indptr)):
        k, a = divmod(int(row), bins)
        own = slice(limits[k], limits[k + 1])
        yield (
            k,
            a,
            _Part(
                matches.image[own],
                matches.inside[own, a],
                matches.status[own, a],
                images,
            ),
        )


class _Part:
    """The detections of one class and one size, by descending score.

    What counts at a threshold are detections of that size, besides those that
    hit something ignored, and those of another size that hit an object of
    this one. The first set is the same for all thresholds and large; hits are
    few. So it is summed once, between the hits of any threshold, by a sparse
    matrix that takes the weights of images to those sums.
    """

    def __init__(
        self,
        image: np.ndarray,
        inside: np.ndarray,
        status: np.ndarray,
        images: int,
    ) -> None:
        stops = np.flatnonzero((status == HIT).any(1))
        rows = np.flatnonzero(inside)
        rows = rows[rows <= (stops[-1] if len(stops) else -1)]
        # Each detection belongs to the first stop that it is not behind.
        stop = np.searchsorted(stops, rows)
        self.between = csr_matrix(
            (
                np.ones(len(rows), np.float32),
                image[rows],
                np.searchsorted(stop, np.arange(len(stops) + 1)),
            ),
            (len(stops), images),
        )
        self.thresholds = []
        for t in range(status.shape[1]):
            hits = np.flatnonzero(status[:, t] == HIT)
            void = np.flatnonzero((status[:, t] == IGNORED) & inside)
            self.thresholds.append(
                (
                    torch.from_numpy(image[hits]),
                    torch.from_numpy(np.searchsorted(stops, hits)),
                    torch.from_numpy(~inside[hits])[:, None],
                    torch.from_numpy(image[void]),
                    torch.from_numpy(np.searchsorted(void, hits)),
                )
            )

    def ap(self, weight: Tensor, objects: Tensor) -> Tensor:
        """Return AP of shape (thresholds, resamples)."""
        total = torch.cumsum(
            torch.from_numpy(self.between @ weight.numpy()), 0
        )
        needed = _hits_needed(objects)
        return torch.stack(
            [
                self._threshold_ap(weight, needed, total, *threshold)
                for threshold in self.thresholds
            ]
        )

    @staticmethod
    def _threshold_ap(
        weight: Tensor,
        needed: Tensor,
        total: Tensor,
        image: Tensor,
        stop: Tensor,
        is_outside: Tensor,
        void: Tensor,
        voids_before: Tensor,
    ) -> Tensor:
        if not len(image):
            return weight.new_zeros(weight.shape[1], dtype=torch.float64)
        hits = weight[image]
        counted = total[stop]
        if is_outside.any():
            counted += torch.cumsum(hits * is_outside, 0)
        if len(void):
            start = weight.new_zeros((1, weight.shape[1]))
            voids = torch.cat([start, torch.cumsum(weight[void], 0)])
            counted -= voids[voids_before]
        hits = torch.cumsum(hits, 0)
        # numpy.spacing(1), with which COCO avoids 0 / 0.
        precision = hits.double() / (counted.double() + 2**-52)
        precision = precision.flip(0).cummax(0).values.flip(0)
        at = torch.searchsorted(hits.T.contiguous(), needed)
        precision = torch.cat([precision, torch.zeros_like(precision[:1])])
        return precision.gather(0, at.T).mean(0)


def _hits_needed(objects: Tensor) -> Tensor:
    """Return how many hits reach each of COCO's recalls.

    In whole numbers, since a recall such as 3 / 10 and the threshold 0.3 must
    compare as they do in COCO's evaluation.

    Args:
        objects (Tensor): Number of objects; shape (resamples,).

    Returns:
        Tensor: Shape (resamples, 101).
    """
    objects = objects[:, None].clamp(min=1)
    needed = (RECALLS * objects).ceil()
    needed = torch.where((needed - 1) / objects >= RECALLS, needed - 1, needed)
    needed = torch.where(needed / objects < RECALLS, needed + 1, needed)
    return needed.float()


def mean_ap(ap: np.ndarray, thresholds: Optional[slice] = None) -> np.ndarray:
    """Return the mean over thresholds and the categories that have objects.

    Args:
        ap (np.ndarray): Shape (resamples, thresholds, categories, bins).
        thresholds (slice, optional): Which. Default: None, all.

    Returns:
        np.ndarray: Shape (resamples, bins); NaN where there is no object.
    """
    values = ap[:, thresholds or slice(None)].mean(1, dtype=float)
    present = ~np.isnan(values)
    with np.errstate(invalid='ignore'):
        return np.where(present, values, 0).sum(1) / present.sum(1)
