"""Average precision of resampled data sets, from one matching pass.

A resample draws as many images as there are, with replacement. An image that
is drawn three times counts three times. Resampling therefore only weights each
detection and each object by how often its image is drawn.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Optional, Sequence

import numpy as np
from tqdm import tqdm

from ..utils.machine import available_memory, usable_processors
from .bins import SizeBin
from .matching import Matches
from .native import Resamples
from .native.loading import library
from .recalls import LOWEST_PERCENT, PERCENT
from .settings import COCO_THRESHOLDS
from .structures import GroundTruth


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
    # resamples is built, and twice in single precision), the figures at all
    # thresholds in 4 bytes each, four tables while their means are computed,
    # and the figures of each result.
    each = (
        24 * images
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

    Raises:
        ValueError: If the seed is negative.
    """
    if seed < 0:
        raise ValueError(
            'expected the seed of the resamples to be a whole number of 0 or '
            f'more, got {seed}'
        )
    random = np.random.default_rng(seed)
    units = images if groups is None else int(groups.max()) + 1
    drawn = random.multinomial(units, np.full(units, 1 / units), resamples)
    return drawn if groups is None else drawn[:, groups]


def weighted_ap(
    matches: Matches, weights: np.ndarray, progress: bool = False
) -> np.ndarray:
    """Compute average precision with weighted images.

    With weights of 1 it is COCO's. With other whole numbers it is that of a
    data set that contains each image as many times.

    Args:
        matches (Matches): Matches of the detections.
        weights (np.ndarray): Weight of each image, of shape (resamples,
            images).
        progress (bool): Whether to show a progress bar. Default: False.

    Returns:
        np.ndarray: Average precision of shape (resamples, thresholds,
        categories, bins); NaN without objects. It is in single precision
        where there are several resamples.
    """
    built = library()
    if built is None:
        # It imports scipy.sparse, which takes long.
        from .weighted_curves import weighted_ap_in_numpy

        return weighted_ap_in_numpy(matches, weights, progress)
    _, bins, thresholds = matches.status.shape
    figures = np.flatnonzero(np.diff(matches.objects.indptr))
    categories = matches.objects.shape[0] // bins
    limits = np.searchsorted(matches.category, np.arange(categories + 1))
    result = np.full(
        (len(weights), thresholds, categories, bins),
        np.nan,
        np.float32 if len(weights) > 1 else float,
    )
    resamples = Resamples(built, weights)
    numbers = matches.objects @ np.ascontiguousarray(weights.T, np.float32)

    def fill(figure: int) -> None:
        k, a = divmod(figure, bins)
        own, number = slice(limits[k], limits[k + 1]), numbers[figure]
        ap = resamples.ap(
            matches.image[own],
            matches.inside[own, a],
            matches.status[own, a],
            PERCENT / np.maximum(number.astype(float), 1),
            LOWEST_PERCENT,
        )
        ap[:, number == 0] = np.nan
        result[..., k, a] = ap.T

    # The library is called without Python's lock.
    with ThreadPoolExecutor(usable_processors()) as pool:
        done = pool.map(fill, figures.tolist())
        for _ in tqdm(done, 'resampling', len(figures), disable=not progress):
            pass
    return result


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
