"""Places of elements within runs of equal keys."""

import numpy as np


def ranks_within_runs(sorted_keys: np.ndarray) -> np.ndarray:
    """Return each element's position among the elements of the same key.

    Args:
        sorted_keys (np.ndarray): Keys of shape (n,), with equal keys side by
            side.

    Returns:
        np.ndarray: Positions of shape (n,), counted from 0 for each key.
    """
    starts = np.flatnonzero(np.r_[True, sorted_keys[1:] != sorted_keys[:-1]])
    lengths = np.diff(np.r_[starts, len(sorted_keys)])
    return np.arange(len(sorted_keys)) - np.repeat(starts, lengths)


def is_last_of_run(keys: np.ndarray) -> np.ndarray:
    """Return which entries are the last ones of a run of equal keys.

    Args:
        keys (np.ndarray): Keys of shape (n,).

    Returns:
        np.ndarray: Booleans of shape (n,).
    """
    last: np.ndarray = np.r_[keys[1:] != keys[:-1], True][: len(keys)]
    return last
