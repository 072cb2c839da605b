"""Average precision of resampled data sets, from one matching pass.

A resample draws as many images as there are, with replacement. An image that
is drawn three times counts three times. Resampling therefore only weights each
detection and each object by how often its image is drawn.
"""

from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

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

# COCO's recalls, at which it takes the precision.
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
        bins (Sequence[SizeBin]): Bins of object sizes, with or without the
            bin of all sizes.
        resamples (int): Number of resamples.
        results (int): Number of results that are resampled. Default: 1.

    Raises:
        ValueError: If they do not fit, with the number of resamples that do.
    """
    images = len(ground_truth.image_ids)
    categories = len(np.unique(ground_truth.category))
    figures = (categories + 1) * (len(bins) + 1)
    # A resample needs the weights of all images (twice while the array of all
    # resamples is built), the figures at all thresholds in 4 bytes each, four
    # tables while their means are computed, and the figures of each result.
    each = (
        16 * images
        + 4 * len(COCO_THRESHOLDS) * figures
        + 8 * (4 + results) * figures
    )
    # The arrays of a chunk are small compared with these.
    available = available_memory()
    if resamples * each > available:
        raise ValueError(
            f'{resamples} resamples of {images} images and {categories} '
            f'categories take up to {resamples * each / 1e9:.1f} GB of '
            f'memory, of which {available / 1e9:.1f} GB are free; '
            f'{available // each} resamples fit'
        )


def resample_weights(
    images: int,
    resamples: int,
    seed: int,
    groups: Optional[np.ndarray] = None,
) -> np.ndarray:
    """Draw how often each image is in each resample.

    Args:
        images (int): Number of images.
        resamples (int): Number of resamples.
        seed (int): Seed of the draw.
        groups (np.ndarray, optional): Index of each image's group, of shape
            (images,). Groups are drawn as wholes. Default: None, every image
            is drawn for itself.

    Returns:
        np.ndarray: Whole numbers of shape (resamples, images). Without groups,
        each row sums to ``images``.
    """
    random = np.random.default_rng(seed)
    units = images if groups is None else int(groups.max()) + 1
    drawn = random.multinomial(units, np.full(units, 1 / units), resamples)
    return drawn if groups is None else drawn[:, groups]


def weighted_ap(
    matches: Matches,
    weights: np.ndarray,
    chunk: Optional[int] = None,
    progress: bool = False,
) -> np.ndarray:
    """Compute average precision with weighted images.

    With weights of 1 it is COCO's. With other whole numbers it is that of a
    data set that contains each image as many times.

    Args:
        matches (Matches): Matches of the detections.
        weights (np.ndarray): Weight of each image, of shape (resamples,
            images).
        chunk (int, optional): Number of resamples that are computed together,
            which bounds the memory. Default: None, 128 to 1024, the fewer the
            more images there are.
        progress (bool): Whether to show a progress bar. Default: False.

    Returns:
        np.ndarray: Average precision of shape (resamples, thresholds,
        categories, bins); NaN without objects.
    """
    _, bins, thresholds = matches.status.shape
    categories = matches.objects.shape[0] // bins
    result = np.full(
        (len(weights), thresholds, categories, bins),
        np.nan,
        np.float32 if len(weights) > 1 else float,
    )
    rankings = list(_rankings(matches))
    # Small data sets spend their time in calls, not in arithmetic.
    chunk = chunk or min(1024, max(128, 2**18 // max(1, weights.shape[1])))
    for begin in tqdm(
        range(0, len(weights), chunk), desc='resampling', disable=not progress
    ):
        rows = slice(begin, begin + chunk)
        # One row per image, so that the weights of an image lie side by side.
        weight = torch.from_numpy(
            np.ascontiguousarray(weights[rows].T, np.float32)
        )
        numbers = torch.from_numpy(matches.objects @ weight.numpy()).double()
        for k, a, ranking in rankings:
            number = numbers[k * bins + a]
            ap = ranking.ap(weight, number)
            ap[:, number == 0] = torch.nan
            result[rows, :, k, a] = ap.T.numpy()
    return result


def _rankings(matches: Matches) -> 'Iterator[Tuple[int, int, _Ranking]]':
    """Yield the matches of each category and bin that has objects.

    Yields:
        tuple[int, int, _Ranking]: Index of the category, index of the bin, and
        the detections.
    """
    bins = matches.status.shape[1]
    rows, images = matches.objects.shape
    limits = np.searchsorted(matches.category, np.arange(rows // bins + 1))
    for row in np.flatnonzero(np.diff(matches.objects.indptr)):
        k, a = divmod(int(row), bins)
        own = slice(limits[k], limits[k + 1])
        yield (
            k,
            a,
            _Ranking(
                matches.image[own],
                matches.inside[own, a],
                matches.status[own, a],
                images,
            ),
        )


class _Hits(NamedTuple):
    """The hits of one class and one size at a threshold, by descending score.

    Attributes:
        image: Index of each hit's image, of shape (hits,).
        place: Position of each hit among the hits of all thresholds, of shape
            (hits,).
        is_outside: Whether the detection is of another size, of shape (hits,
            1).
        ignored: Index of the image of each detection of the size that hit an
            ignored object, of shape (ignored,).
        ignored_before: Number of these detections before each hit, of shape
            (hits,).
    """

    image: Tensor
    place: Tensor
    is_outside: Tensor
    ignored: Tensor
    ignored_before: Tensor

    def ap(self, weight: Tensor, needed: Tensor, total: Tensor) -> Tensor:
        """Return average precision of shape (resamples,).

        Args:
            weight (Tensor): Weights of shape (images, resamples).
            needed (Tensor): Hits that reach each recall, of shape (resamples,
                101).
            total (Tensor): Weight of the detections of the size up to each
                hit of any threshold, of shape (places, resamples).
        """
        if not len(self.image):
            return weight.new_zeros(weight.shape[1], dtype=torch.float64)
        hits = weight[self.image]
        counted = total[self.place]
        if self.is_outside.any():
            counted += torch.cumsum(hits * self.is_outside, 0)
        if len(self.ignored):
            start = weight.new_zeros((1, weight.shape[1]))
            sums = torch.cat([start, torch.cumsum(weight[self.ignored], 0)])
            counted -= sums[self.ignored_before]
        hits = torch.cumsum(hits, 0)
        # COCO adds numpy.spacing(1) to avoid 0 / 0.
        precision = hits.double() / (counted.double() + 2**-52)
        precision = precision.flip(0).cummax(0).values.flip(0)
        at = torch.searchsorted(hits.T.contiguous(), needed)
        precision = torch.cat([precision, torch.zeros_like(precision[:1])])
        return precision.gather(0, at.T).mean(0)


class _Ranking:
    """The detections of one class and one size, by descending score.

    At a threshold these detections count: those of the size that did not hit
    an ignored object, and those of other sizes that hit an object of the size.
    Precision is needed at the hits only, which are few. The detections of the
    size are many and the same for all thresholds. Their weights between two
    hits are therefore summed once, by the sparse matrix ``between``, which
    maps weights of images to these sums.

    Args:
        image (np.ndarray): Index of each detection's image, of shape (n,).
        inside (np.ndarray): Whether each detection is of the size, of shape
            (n,).
        status (np.ndarray): As in :class:`Matches`, of shape (n, thresholds).
        images (int): Number of images.
    """

    def __init__(
        self,
        image: np.ndarray,
        inside: np.ndarray,
        status: np.ndarray,
        images: int,
    ) -> None:
        # Detections that are a hit at any threshold.
        hit_rows = np.flatnonzero((status == HIT).any(1))
        rows = np.flatnonzero(inside)
        rows = rows[rows <= (hit_rows[-1] if len(hit_rows) else -1)]
        # Each detection of the size counts from the next hit on.
        next_hit = np.searchsorted(hit_rows, rows)
        self.between = csr_matrix(
            (
                np.ones(len(rows), np.float32),
                image[rows],
                np.searchsorted(next_hit, np.arange(len(hit_rows) + 1)),
            ),
            (len(hit_rows), images),
        )
        self.hits: List[_Hits] = []
        for t in range(status.shape[1]):
            hits = np.flatnonzero(status[:, t] == HIT)
            ignored = np.flatnonzero((status[:, t] == IGNORED) & inside)
            self.hits.append(
                _Hits(
                    torch.from_numpy(image[hits]),
                    torch.from_numpy(np.searchsorted(hit_rows, hits)),
                    torch.from_numpy(~inside[hits])[:, None],
                    torch.from_numpy(image[ignored]),
                    torch.from_numpy(np.searchsorted(ignored, hits)),
                )
            )

    def ap(self, weight: Tensor, objects: Tensor) -> Tensor:
        """Return average precision of shape (thresholds, resamples).

        Args:
            weight (Tensor): Weights of shape (images, resamples).
            objects (Tensor): Number of objects, of shape (resamples,).
        """
        total = torch.cumsum(
            torch.from_numpy(self.between @ weight.numpy()), 0
        )
        needed = _hits_needed(objects)
        return torch.stack(
            [hits.ap(weight, needed, total) for hits in self.hits]
        )


def _hits_needed(objects: Tensor) -> Tensor:
    """Return the number of hits that reaches each of COCO's recalls.

    Rounding must not change whether hits / objects reaches a recall: 3 / 10
    and the recall 0.3 have to compare as they do in COCO's evaluation.

    Args:
        objects (Tensor): Number of objects, of shape (resamples,).

    Returns:
        Tensor: Numbers of hits, of shape (resamples, 101).
    """
    objects = objects[:, None].clamp(min=1)
    needed = (RECALLS * objects).ceil()
    needed = torch.where((needed - 1) / objects >= RECALLS, needed - 1, needed)
    needed = torch.where(needed / objects < RECALLS, needed + 1, needed)
    return needed.float()


def mean_ap(ap: np.ndarray, thresholds: Optional[slice] = None) -> np.ndarray:
    """Return the mean over thresholds and the categories that have objects.

    Args:
        ap (np.ndarray): Average precision of shape (resamples, thresholds,
            categories, bins); NaN without objects.
        thresholds (slice, optional): Thresholds to average. Default: None,
            all thresholds.

    Returns:
        np.ndarray: Mean of shape (resamples, bins); NaN without objects.
    """
    values = ap[:, thresholds or slice(None)].mean(1, dtype=float)
    present = ~np.isnan(values)
    with np.errstate(invalid='ignore'):
        return np.where(present, values, 0).sum(1) / present.sum(1)
