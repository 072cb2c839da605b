"""COCO's matching in numpy, where the library of loops is not built.

It works on whole arrays: the first detections of all images and classes choose
an object, then all second ones, and so on.
"""

from typing import List, Tuple

import numpy as np

from .matching_input import MatchingInput, Pairs
from .ranks import ranks_within_runs
from .statuses import HIT, IGNORED


def match_in_turns(
    given: MatchingInput, partners: bool = True
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Match detections to objects.

    Args:
        given (MatchingInput): Ground truth and detections.
        partners (bool): Whether to tell which objects were hit. Default: True.

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: ``index``, ``status`` and
        ``partner`` of :class:`~.matching.Matches`.
    """
    in_groups = given.sorted_detections()
    turns = _turns(given.pairs(in_groups), in_groups.groups)
    status, partner = _choose(given, len(in_groups.positions), turns)
    order, detections = in_groups.positions, given.detections
    by_score = np.lexsort(
        (-detections.score[order], detections.category[order])
    )
    partner = partner[by_score]
    if not partners:
        partner = partner[:, :0, :0]
    return order[by_score], status[by_score], partner


def _choose(
    given: MatchingInput, number: int, turns: List[Pairs]
) -> Tuple[np.ndarray, np.ndarray]:
    """Let detections choose objects, one of each group at a time.

    Args:
        given (MatchingInput): Ground truth and detections.
        number (int): Number of the detections that count, n.
        turns (list[Pairs]): Pairs of the first detections of all groups, of
            all second ones, and so on.

    Returns:
        tuple[np.ndarray, np.ndarray]: Status and partner of each detection, of
        shape (n, bins, thresholds), in the order of the groups.
    """
    shape = (given.ignored.shape[1], len(given.limits))
    taken = np.zeros((len(given.objects), *shape), bool)
    status = np.zeros((number, *shape), np.uint8)
    partner = np.full((number, *shape), -1, np.int32)
    for turn in turns:
        free = (turn.overlap[:, None, None] >= given.limits) & (
            ~taken[turn.object] | given.crowd[turn.object, None, None]
        )
        rows, a, t = _best_pairs(turn, free, given.ignored[turn.object])
        detection, object = turn.detection[rows], turn.object[rows]
        taken[object, a, t] = True
        status[detection, a, t] = np.where(
            given.ignored[object, a], IGNORED, HIT
        )
        partner[detection, a, t] = given.objects[object]
    return status, partner


def _turns(pairs: Pairs, groups: np.ndarray) -> List[Pairs]:
    """Split pairs by the rank of their detection in its group.

    Args:
        pairs (Pairs): Pairs, by ascending detection.
        groups (np.ndarray): Group of each detection, ascending.

    Returns:
        list[Pairs]: Pairs of the first detections of all groups, of all second
        ones, and so on.
    """
    choosing, place = np.unique(pairs.detection, return_inverse=True)
    turn = ranks_within_runs(groups[choosing])[place]
    by_turn = np.argsort(turn, kind='stable')
    pairs, turn = pairs.take(by_turn), turn[by_turn]
    limits = np.searchsorted(turn, np.arange(turn.max(initial=-1) + 2))
    return [
        pairs.take(slice(begin, end))
        for begin, end in zip(limits[:-1], limits[1:])
    ]


def _best_pairs(
    turn: Pairs, free: np.ndarray, ignored: np.ndarray
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pair that each detection chooses.

    Args:
        turn (Pairs): Pairs, by ascending detection.
        free (np.ndarray): Which objects can be chosen, of shape (pairs, bins,
            thresholds).
        ignored (np.ndarray): Which objects are ignored, of shape (pairs,
            bins).

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: Positions of the chosen
        pairs, with their bins and thresholds.
    """
    starts = np.flatnonzero(
        np.r_[True, turn.detection[1:] != turn.detection[:-1]]
    )
    lengths = np.diff(np.r_[starts, len(turn.detection)])
    # Objects that are ignored are chosen where there is no other.
    first = free & ~ignored[:, :, None]
    has_first = np.logical_or.reduceat(first, starts)
    choice = np.where(np.repeat(has_first, lengths, 0), first, free)
    worth = np.where(choice, turn.overlap[:, None, None], -1)
    best = np.maximum.reduceat(worth, starts)
    is_best = choice & (worth == np.repeat(best, lengths, 0))
    # Of two objects with the same overlap, COCO takes the later one.
    rows = np.where(is_best, np.arange(len(free))[:, None, None], -1)
    rows = np.maximum.reduceat(rows, starts)
    chosen, a, t = np.nonzero(rows >= 0)
    return rows[chosen, a, t], a, t
