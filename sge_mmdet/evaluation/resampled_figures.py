"""Figures of a result on resamples of the images."""

import warnings
from dataclasses import dataclass, replace
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from .bins import SizeBin, with_all_sizes
from .bootstrap import check_memory, mean_ap, resample_weights, weighted_ap
from .image_groups import warn_of_sources
from .matching import Matches, match
from .settings import COCO_THRESHOLDS, Settings
from .structures import (
    Detections,
    GroundTruth,
    warn_of_federated_labels,
)
from .subsets import of_categories, with_outside_as_crowd

# Fewest images (or groups of images) with such objects for an interval, and
# fewest of a class, on average over the classes of a mean. With fewer,
# intervals do not hold the true difference often enough
# (tools/dev/simulate_coverage.py).
FEWEST_UNITS = 6
FEWEST_OF_A_CLASS = 4

# With fewer resamples there is a warning.
FEWEST_RESAMPLES = 100


@dataclass(frozen=True)
class Support:
    """How many images hold objects of a figure.

    Attributes:
        images: Number of images with such objects.
        units: Number of groups of images with such objects; that of images
            without groups.
        of_a_class: Number of these units for a class, as a mean over the
            classes that have such objects.
    """

    images: int
    units: int
    of_a_class: float

    @property
    def is_enough(self) -> bool:
        """bool: Whether an interval can be given."""
        return (
            self.units >= FEWEST_UNITS and self.of_a_class >= FEWEST_OF_A_CLASS
        )


@dataclass(frozen=True)
class ResampledFigures:
    """Figures of one result, on all images and on resamples.

    Each figure is an array of shape (1 + resamples,): its value on all images,
    then its values on the resamples. It is NaN without objects.

    Attributes:
        sizes: AP, AP50, AP75 and AP by size, by name.
        classes: AP by class, for all sizes and then for each size, by name.
        images: Number of images.
        small: Name of the figure of small objects.
        support: How many images hold objects of each figure, by name.
        groups: Number of groups of images; None if the images are resampled
            one by one.
    """

    sizes: Dict[str, np.ndarray]
    classes: Dict[str, np.ndarray]
    images: int
    small: str
    support: Dict[str, Support]
    groups: Optional[int] = None


def resample_results(
    ground_truth: GroundTruth,
    results: Sequence[Detections],
    bins: Sequence[SizeBin],
    metric: str = 'bbox',
    resamples: int = 1000,
    seed: int = 0,
    progress: bool = False,
    max_dets: int = 100,
) -> List[ResampledFigures]:
    """Compute the figures of several results on the same resamples.

    Args:
        ground_truth (GroundTruth): The ground truth.
        results (Sequence[Detections]): Detections on its images, by result.
        bins (Sequence[SizeBin]): Bins of object sizes.
        metric (str): Metric, "bbox" or "segm". Default: "bbox".
        resamples (int): Number of resamples. Default: 1000.
        seed (int): Seed of the resampling. Default: 0.
        progress (bool): Whether to show a progress bar. Default: False.
        max_dets (int): Largest number of detections per image and class.
            Default: 100.

    Returns:
        list[ResampledFigures]: Figures of each result.

    Raises:
        ValueError: As :func:`resample_figures`, before anything is computed
            if the resamples of all results need too much memory.
    """
    warn_of_sources(ground_truth)
    settings = Settings(bins, metric, max_dets=(max_dets,))
    return resample_by_settings(
        ground_truth, results, settings, resamples, seed, progress
    )


def resample_figures(
    ground_truth: GroundTruth,
    detections: Detections,
    bins: Sequence[SizeBin],
    metric: str = 'bbox',
    resamples: int = 1000,
    seed: int = 0,
    progress: bool = False,
    max_dets: int = 100,
) -> ResampledFigures:
    """Compute the figures of one result on resamples of the images.

    If the ground truth has groups of images, groups are resampled as wholes.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        bins (Sequence[SizeBin]): Bins of object sizes.
        metric (str): Metric, "bbox" or "segm". Default: "bbox".
        resamples (int): Number of resamples. Default: 1000.
        seed (int): Seed of the resampling. Default: 0.
        progress (bool): Whether to show a progress bar. Default: False.
        max_dets (int): Largest number of detections per image and class.
            Default: 100.

    Returns:
        ResampledFigures: Figures for :func:`compare_figures`.

    Raises:
        ValueError: If the ground truth has no objects, or the resamples are
            too few for an interval or need more memory than is available.
    """
    settings = Settings(bins, metric, max_dets=(max_dets,))
    (figures,) = resample_by_settings(
        ground_truth, [detections], settings, resamples, seed, progress
    )
    return figures


def resample_by_settings(
    ground_truth: GroundTruth,
    results: Sequence[Detections],
    settings: Settings,
    resamples: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> List[ResampledFigures]:
    """Compute the figures of several results by settings of an evaluation.

    Args:
        ground_truth (GroundTruth): The ground truth.
        results (Sequence[Detections]): Detections on its images, by result.
        settings (Settings): Settings of the evaluation, with one number of
            detections.
        resamples (int): Number of resamples. Default: 1000.
        seed (int): Seed of the resampling. Default: 0.
        progress (bool): Whether to show a progress bar. Default: False.

    Returns:
        list[ResampledFigures]: Figures of each result.

    Raises:
        ValueError: As :func:`resample_figures`.
    """
    _check_resamples(ground_truth, settings.bins, resamples, len(results))
    warn_of_federated_labels(ground_truth)
    settings = settings._replace(bins=with_all_sizes(settings.bins))
    images = len(ground_truth.image_ids)
    drawn = resample_weights(images, resamples, seed, ground_truth.groups)
    weights = np.concatenate([np.ones((1, images), int), drawn])
    # Categories without objects have no figures.
    categories = np.unique(ground_truth.category)
    figures = []
    for detections in results:
        objects, counted = of_categories(ground_truth, detections, categories)
        figures.append(
            figures_of_matches(
                _match(objects, counted, settings),
                weights,
                [bin.name for bin in settings.bins[1:]],
                objects.category_names,
                objects.groups,
                progress,
                settings.thresholds,
            )
        )
    return figures


def _match(
    ground_truth: GroundTruth, detections: Detections, settings: Settings
) -> Matches:
    """Match detections in all bins; crowds outside a bin are its own.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        settings (Settings): Settings of the evaluation.
    """
    bins = settings.bins
    rest = *settings[1:3], settings.max_dets[-1], False
    if not bins[0].outside_is_crowd:
        return match(ground_truth, detections, bins, *rest)
    from scipy.sparse import vstack

    parts = [
        match(
            with_outside_as_crowd(ground_truth, bin), detections, [bin], *rest
        )
        for bin in bins
    ]
    status, inside = (
        np.concatenate([getattr(part, name) for part in parts], 1)
        for name in ('status', 'inside')
    )
    # Rows of the sparse matrix are ordered by category, then by bin.
    rows = np.arange(len(bins) * len(ground_truth.category_ids))
    by_category = rows.reshape(len(bins), -1).T.ravel()
    return replace(
        parts[0],
        status=status,
        inside=inside,
        objects=vstack([part.objects for part in parts], 'csr')[by_category],
    )


def figures_of_matches(
    matches: Matches,
    weights: np.ndarray,
    sizes: Sequence[str],
    categories: Sequence[str],
    groups: Optional[np.ndarray] = None,
    progress: bool = False,
    thresholds: Sequence[float] = COCO_THRESHOLDS,
) -> ResampledFigures:
    """Compute the figures of matched detections with weighted images.

    Args:
        matches (Matches): Matches of a result in the bin of all sizes and the
            other bins.
        weights (np.ndarray): Ones for all images, then how often each image
            is in each resample, of shape (1 + resamples, images).
        sizes (Sequence[str]): Names of the bins but the first.
        categories (Sequence[str]): Names of the categories.
        groups (np.ndarray, optional): Index of each image's group, of shape
            (images,). Default: None, without groups.
        progress (bool): Whether to show a progress bar. Default: False.
        thresholds (Sequence[float]): IoU thresholds of the matches, 0.5 and
            0.75 among them. Default: 0.5 to 0.95.

    Returns:
        ResampledFigures: Figures for :func:`compare_figures`.
    """
    ap = weighted_ap(matches, weights, progress=progress)
    return ResampledFigures(
        dict(_by_size(ap, sizes, thresholds)),
        dict(_by_class(ap, sizes, categories)),
        weights.shape[1],
        _small_figure(sizes),
        _support(matches, sizes, categories, groups),
        None if groups is None else len(np.unique(groups)),
    )


def _support(
    matches: Matches,
    sizes: Sequence[str],
    categories: Sequence[str],
    groups: Optional[np.ndarray],
) -> Dict[str, Support]:
    """Return how many images hold objects of each figure.

    Args:
        matches (Matches): Matches of any detections.
        sizes (Sequence[str]): Names of the bins but the first.
        categories (Sequence[str]): Names of the categories.
        groups (np.ndarray, optional): Index of each image's group.
    """
    by_image = matches.objects
    by_unit = by_image
    if groups is not None:
        rows, ones = np.arange(len(groups)), np.ones(len(groups), np.float32)
        from scipy.sparse import csr_matrix

        by_unit = by_image @ csr_matrix((ones, (rows, groups)))
    bins = len(sizes) + 1
    support = {}
    for a, size in enumerate(['', *(f'_{size}' for size in sizes)]):
        of_image, of_unit = by_image[a::bins], by_unit[a::bins]
        images, units = of_image.getnnz(1), of_unit.getnnz(1)
        support[f'AP{size}'] = Support(
            int((of_image.getnnz(0) > 0).sum()),
            int((of_unit.getnnz(0) > 0).sum()),
            float(units[units > 0].mean()) if units.any() else 0.0,
        )
        for k, name in enumerate(categories):
            support[f'AP{size} of {name}'] = Support(
                int(images[k]), int(units[k]), float(units[k])
            )
    return dict(support, AP50=support['AP'], AP75=support['AP'])


def _check_resamples(
    ground_truth: GroundTruth,
    bins: Sequence[SizeBin],
    resamples: int,
    results: int,
) -> None:
    """Raise if there is nothing to resample or too little memory for it."""
    check_memory(ground_truth, bins, resamples, results)
    if resamples < 2:
        raise ValueError(
            'expected resamples to be at least 2, and some hundreds for '
            f'reliable intervals, got {resamples}'
        )
    if resamples < FEWEST_RESAMPLES:
        warnings.warn(
            f'{resamples} resamples are too few for intervals and p-values '
            'that can be relied on; take some hundreds (--resamples, '
            'resamples=), the default is 1000',
            stacklevel=2,
        )
    counted = with_all_sizes(bins)[0].holds(ground_truth.area)
    if not (counted & ~ground_truth.crowd).any():
        raise ValueError(
            f'{ground_truth.name} has no objects, so that there is nothing to '
            'compare; give annotations with at least one object'
        )


def _small_figure(sizes: Sequence[str]) -> str:
    """Return the name of the figure of small objects.

    Args:
        sizes (Sequence[str]): Names of the bins. If none is "small", the
            first one counts.
    """
    if not sizes:
        return 'AP'
    return f'AP_{"small" if "small" in sizes else sizes[0]}'


def _by_size(
    ap: np.ndarray,
    sizes: Sequence[str],
    thresholds: Sequence[float],
) -> Iterator[Tuple[str, np.ndarray]]:
    """Yield names and values of the figures of all classes.

    Args:
        ap (np.ndarray): Average precision of shape (1 + resamples,
            thresholds, categories, bins); the first bin has all sizes.
        sizes (Sequence[str]): Names of the other bins.
        thresholds (Sequence[float]): IoU thresholds.
    """
    by_size = mean_ap(ap)
    yield 'AP', by_size[:, 0]
    for iou in 0.5, 0.75:
        t = int(np.argmin(np.abs(np.array(thresholds) - iou)))
        yield f'AP{100 * iou:.0f}', mean_ap(ap, slice(t, t + 1))[:, 0]
    for i, size in enumerate(sizes, start=1):
        yield f'AP_{size}', by_size[:, i]


def _by_class(
    ap: np.ndarray,
    sizes: Sequence[str],
    categories: Sequence[str],
) -> Iterator[Tuple[str, np.ndarray]]:
    """Yield names and values of the figures of each class.

    Args:
        ap (np.ndarray): Average precision, as in :func:`_by_size`.
        sizes (Sequence[str]): Names of the bins but the first.
        categories (Sequence[str]): Names of the categories.
    """
    for i, size in enumerate(['', *(f'_{size}' for size in sizes)]):
        for k, name in enumerate(categories):
            yield (f'AP{size} of {name}', ap[:, :, k, i].mean(1, dtype=float))
