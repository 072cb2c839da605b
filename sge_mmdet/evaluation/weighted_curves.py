"""Weighted average precision in numpy and scipy.

It is what :mod:`.native` computes in C++, for where that is not built. Both
give the same numbers to the last bit.
"""

from typing import Iterator, List, NamedTuple, Optional, Sequence

import numpy as np
from scipy.sparse import csr_matrix, vstack
from tqdm import tqdm

from .matching import Matches
from .recalls import COCO_RECALLS, LOWEST_PERCENT, PERCENT
from .statuses import HIT, IGNORED, MISSED

# Largest number of precisions per resample that are held at once.
BATCH = 2**14


def weighted_ap_in_numpy(
    matches: Matches,
    weights: np.ndarray,
    progress: bool = False,
    chunk: Optional[int] = None,
) -> np.ndarray:
    """Compute average precision with weighted images.

    Args:
        matches (Matches): Matches of the detections.
        weights (np.ndarray): Weight of each image, of shape (resamples,
            images).
        progress (bool): Whether to show a progress bar. Default: False.
        chunk (int, optional): Number of resamples that are computed together,
            which bounds the memory. Default: None, 256 to 512, the fewer the
            more images there are.
    """
    _, bins, thresholds = matches.status.shape
    categories = matches.objects.shape[0] // bins
    result = np.full(
        (len(weights), thresholds, categories, bins),
        np.nan,
        np.float32 if len(weights) > 1 else float,
    )
    batches = _batches(list(_rankings(matches)))
    # Small data sets spend their time in calls, not in arithmetic.
    chunk = chunk or min(512, max(256, 2**18 // max(1, weights.shape[1])))
    for begin in tqdm(
        range(0, len(weights), chunk), desc='resampling', disable=not progress
    ):
        rows = slice(begin, begin + chunk)
        # One row per image, so that the weights of an image lie side by side.
        weight = np.ascontiguousarray(weights[rows].T, np.float32)
        numbers = (matches.objects @ weight).astype(float)
        for batch in batches:
            number = numbers[batch.figures]
            ap = batch.ap(weight, np.maximum(number, 1))
            for figure, values, own in zip(batch.figures, ap, number):
                values[:, own == 0] = np.nan
                k, a = divmod(figure, bins)
                result[rows, :, k, a] = values.T
    return result


class _Ranking(NamedTuple):
    """The detections of one class and one size, by descending score.

    At a threshold these detections count: those of the size that did not hit
    an ignored object, and those of other sizes that hit an object of the size.

    Precision is needed only at hits that no other hit follows at once,
    because the next hit has a higher precision for all weights. These ends of
    runs of hits are few. The detections of the size are many and the same for
    all thresholds. Sums of weights between two ends are products of a sparse
    matrix and the weights of the images.

    Attributes:
        figure: Row of :attr:`Matches.objects`.
        lengths: Number of ends of runs at each threshold.
        hits: Hits up to each end at a threshold, from the end before on;
            shape (ends of all thresholds, images).
        others: Hits of other sizes, minus detections of the size that hit an
            ignored object; in the same form.
        inside: Detections of the size up to each end at any threshold, from
            the one before on; shape (places, images).
        places: Row in ``inside`` of each end.
    """

    figure: int
    lengths: List[int]
    hits: csr_matrix
    others: csr_matrix
    inside: csr_matrix
    places: np.ndarray


def _rankings(matches: Matches) -> Iterator[_Ranking]:
    """Yield the detections of each category and bin that has objects.

    Args:
        matches (Matches): Matches of the detections.
    """
    bins = matches.status.shape[1]
    figures, images = matches.objects.shape
    limits = np.searchsorted(matches.category, np.arange(figures // bins + 1))
    for figure in np.flatnonzero(np.diff(matches.objects.indptr)):
        k, a = divmod(int(figure), bins)
        own = slice(limits[k], limits[k + 1])
        image, inside = matches.image[own], matches.inside[own, a]
        status = matches.status[own, a].T
        hit, missed = status == HIT, inside & (status == MISSED)
        ends = list(map(_ends_of_runs, hit, missed))
        every = np.unique(np.concatenate(ends))
        ignored = inside & (status == IGNORED)
        others = (hit & ~inside).astype(np.int8) - ignored.astype(np.int8)
        yield _Ranking(
            int(figure),
            [*map(len, ends)],
            _sums(ends, image, hit, images),
            _sums(ends, image, others, images),
            _sums([every], image, inside[None], images),
            np.searchsorted(every, np.concatenate(ends)),
        )


def _batches(rankings: List[_Ranking]) -> 'List[_Batch]':
    """Put rankings of about the same length together."""
    rankings.sort(key=lambda ranking: -max(ranking.lengths))
    ends = np.cumsum([sum(ranking.lengths) for ranking in rankings])
    numbers = ends // BATCH
    return [
        _Batch([rankings[i] for i in np.flatnonzero(numbers == number)])
        for number in np.unique(numbers)
    ]


class _Batch:
    """Precision over recall of several rankings, computed together.

    A ranking has a curve for each threshold. All curves are followed from
    their last end of a run to their first, one end of each curve at a time.

    Args:
        rankings (list[_Ranking]): The rankings.

    Attributes:
        figures (list[int]): Their rows of :attr:`Matches.objects`.
    """

    def __init__(self, rankings: List[_Ranking]) -> None:
        self.figures = [ranking.figure for ranking in rankings]
        self._hits, self._others, self._inside = (
            vstack([getattr(ranking, name) for ranking in rankings], 'csr')
            for name in ('hits', 'others', 'inside')
        )
        before = np.cumsum([0, *(one.inside.shape[0] for one in rankings)])
        self._rankings = list(map(slice, before[:-1], before[1:]))
        self._places = np.concatenate(
            [one.places + row for one, row in zip(rankings, before)]
        )
        lengths = np.concatenate([one.lengths for one in rankings])
        stops = np.cumsum(lengths)
        self._longest = np.argsort(-lengths, kind='stable')
        self._last = stops[self._longest] - 1
        # Number of curves that have so many ends of runs.
        self._live = np.cumsum(np.bincount(lengths)[::-1])[::-1][1:].tolist()
        rows = np.arange(len(self._places))
        place = np.argsort(self._longest, kind='stable')
        curves = csr_matrix(
            (np.ones(len(rows)), (np.repeat(place, lengths), rows)),
            (len(lengths), len(rows)),
            np.float32,
        )
        self._all_hits = (curves @ self._hits).tocsr()
        self._all_others = (curves @ self._others).tocsr()

    def ap(self, weight: np.ndarray, objects: np.ndarray) -> np.ndarray:
        """Return average precision of shape (rankings, thresholds, resamples).

        Args:
            weight (np.ndarray): Weights of shape (images, resamples).
            objects (np.ndarray): Number of objects, at least 1, of shape
                (rankings, resamples).
        """
        thresholds = len(self._last) // len(objects)
        objects = np.repeat(objects, thresholds, 0)[self._longest]
        inside = _cumulate(self._inside @ weight, self._rankings)
        new_hits, new_others = self._hits @ weight, self._others @ weight
        # Sums up to the end that is looked at.
        hits, others = self._all_hits @ weight, self._all_others @ weight
        highest, area, above = (np.zeros(objects.shape) for _ in range(3))
        for j, number in enumerate(self._live):
            live, rows = slice(number), self._last[:number] - j
            reached = _recalls_reached(hits[live], objects[live])
            # Recalls above those of this end take the precision of the later
            # ends.
            area[live] += highest[live] * (above[live] - reached)
            counted = inside[self._places[rows]] + others[live]
            # COCO adds numpy.spacing(1) to avoid 0 / 0.
            precision = hits[live] / (counted.astype(float) + 2**-52)
            np.maximum(highest[live], precision, out=highest[live])
            above[live] = reached
            hits[live] -= new_hits[rows]
            others[live] -= new_others[rows]
        area += highest * (above + 1)
        ap = np.empty_like(area)
        ap[self._longest] = area / len(COCO_RECALLS)
        return ap.reshape(-1, thresholds, weight.shape[1])


def _ends_of_runs(is_hit: np.ndarray, is_false: np.ndarray) -> np.ndarray:
    """Return the positions of hits that a false detection or nothing follows.

    Args:
        is_hit (np.ndarray): Which detections are hits, of shape (n,).
        is_false (np.ndarray): Which ones are false, of shape (n,). The others
            do not count.
    """
    rows = np.flatnonzero(is_hit | is_false)
    is_end = is_hit[rows]
    is_end[:-1] &= ~is_end[1:]
    return rows[is_end]


def _sums(
    ends: Sequence[np.ndarray],
    image: np.ndarray,
    value: np.ndarray,
    images: int,
) -> csr_matrix:
    """Return the matrix that sums weights of detections between two ends.

    Args:
        ends (Sequence[np.ndarray]): Ascending positions of detections, for
            each threshold. Each is a row of the matrix with the detections
            after the end before up to its own.
        image (np.ndarray): Index of each detection's image, of shape (n,).
        value (np.ndarray): Factor of each detection, of shape (thresholds,
            n).
        images (int): Number of images.

    Returns:
        csr_matrix: Matrix of shape (ends of all thresholds, images).
    """
    rows, values, stops, begin = [], [], [np.zeros(1, int)], 0
    for positions, factors in zip(ends, value):
        own = np.flatnonzero(factors)
        stop = np.searchsorted(own, positions, 'right')
        own = own[: stop[-1] if len(stop) else 0]
        rows.append(own)
        values.append(factors[own])
        stops.append(begin + stop)
        begin += len(own)
    return csr_matrix(
        (
            np.concatenate(values).astype(np.float32),
            image[np.concatenate(rows)],
            np.concatenate(stops),
        ),
        (sum(map(len, ends)), images),
    )


def _cumulate(values: np.ndarray, parts: List[slice]) -> np.ndarray:
    """Replace values by their sums over the rows of each part.

    Args:
        values (np.ndarray): Values of shape (rows, resamples).
        parts (list[slice]): Rows of each part.
    """
    for rows in parts:
        np.cumsum(values[rows], 0, out=values[rows])
    return values


def _recalls_reached(hits: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Return how many of COCO's recalls are reached, minus 1.

    Rounding must not change whether hits / objects reaches a recall: 3 / 10
    and the recall 0.3 have to compare as they do in COCO's evaluation.

    Args:
        hits (np.ndarray): Numbers of hits.
        objects (np.ndarray): Numbers of objects, of the same shape.

    Returns:
        np.ndarray: Numbers of the same shape.
    """
    percent = hits * (PERCENT / objects)
    whole = percent.astype(np.int32)
    return whole - (percent < LOWEST_PERCENT[whole])
