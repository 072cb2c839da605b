"""Average precision of weighted images, one resample at a time, as oracle."""

import numpy as np

from sge_mmdet.evaluation.statuses import HIT, MISSED

RECALLS = np.linspace(0, 1, 101)


def plain_weighted_ap(matches, weights):
    """Return what ``weighted_ap`` returns, by COCO's own accumulation.

    Args:
        matches (Matches): Matches of the detections.
        weights (np.ndarray): Weights of shape (resamples, images).
    """
    _, bins, thresholds = matches.status.shape
    figures = matches.objects.shape[0]
    ap = np.full((len(weights), thresholds, figures // bins, bins), np.nan)
    for r, weight in enumerate(weights):
        objects = matches.objects @ weight
        for k, a in np.argwhere(objects.reshape(-1, bins) > 0):
            own = matches.category == k
            for t in range(thresholds):
                ap[r, t, k, a] = _ap(
                    weight[matches.image[own]],
                    matches.status[own, a, t],
                    matches.inside[own, a],
                    objects[k * bins + a],
                )
    return ap


def _ap(weight, status, inside, objects):
    """Return average precision of a ranking.

    Args:
        weight (np.ndarray): Weight of each detection, of shape (n,).
        status (np.ndarray): MISSED, HIT or IGNORED, of shape (n,).
        inside (np.ndarray): Whether each is of the size, of shape (n,).
        objects (float): Weight of the objects.
    """
    hits = np.cumsum(weight * (status == HIT))
    false = np.cumsum(weight * ((status == MISSED) & inside))
    precision = hits / (hits + false + np.spacing(1))
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    first = np.searchsorted(hits / objects, RECALLS)
    return np.r_[precision, 0][first].mean()
