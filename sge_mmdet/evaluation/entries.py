"""Numbers, ids and names of annotations and results, checked one by one."""

import contextlib
from collections import Counter
from itertools import chain
from typing import Any, Sequence

import numpy as np

from ..utils.text import printable_value

# The largest id for which a table of all ids up to it is worth its memory.
MOST_TABLED = 5_000_000
# Engines count in floating point, which tells whole numbers apart up to this.
LARGEST_ID = 2**53


def unique_ids(name: str, key: str, entries: Sequence[dict]) -> np.ndarray:
    """Return the ids of entries; a ValueError names one that is there twice.

    Args:
        name (str): Of the file.
        key (str): Of the list of entries.
        entries (Sequence[dict]): Each with an id.
    """
    ids = [entry['id'] for entry in entries]
    odd = [
        value
        for value in ids
        if not isinstance(value, int)
        or isinstance(value, bool)
        or abs(value) > LARGEST_ID
    ]
    if odd:
        raise ValueError(
            f'{name}: ids of {key} are whole numbers, got '
            f'{printable_value(odd[0])}'
        )
    twice = [value for value, count in Counter(ids).items() if count > 1]
    if twice:
        raise ValueError(
            f'{name}: {len(twice)} ids of {key} are there more '
            f'than once, such as {twice[0]}'
        )
    return np.array(ids, int)


def find_ids(known: np.ndarray, ids: Any) -> np.ndarray:
    """Return where ids stand among the known ones; -1 where they do not."""
    ids = np.asarray(ids)
    if not len(known) or not len(ids):
        return np.full(len(ids), -1)
    most = known.max()
    if ids.dtype.kind == 'i' and 0 <= known.min() and most < MOST_TABLED:
        # Several times faster than the search below.
        table = np.full(most + 2, -1)
        table[known] = np.arange(len(known))
        return table[np.where((ids < 0) | (ids > most), most + 1, ids)]
    order = np.argsort(known, kind='stable')
    at = np.minimum(np.searchsorted(known[order], ids), len(known) - 1)
    return np.where(known[order][at] == ids, order[at], -1)


def id_column(what: str, values: Any) -> np.ndarray:
    """Return ids as numbers; a TypeError says what is wrong."""
    odd = _no_numbers(values)
    with contextlib.suppress(OverflowError, ValueError):
        ids = np.asarray(values if len(values) else np.zeros(0, int))
        if not odd and ids.ndim == 1 and ids.dtype.kind in 'iuf':
            return ids
    raise TypeError(
        f'{what}: each is a whole number, got '
        f'{printable_value(odd[0] if odd else values)}'
    )


def number_table(what: str, values: Any, columns: int) -> np.ndarray:
    """Return a table of numbers; a TypeError says what is wrong."""
    if len(values) == 0:
        return np.zeros((0, columns))
    if columns > 1 and not isinstance(values, np.ndarray):
        rows = (
            row
            for row in values
            if not isinstance(row, (list, tuple, np.ndarray))
            or len(row) != columns
        )
        for row in rows:
            raise TypeError(f'{what}: could not read {printable_value(row)}')
    odd = _no_numbers(
        values
        if columns == 1 or isinstance(values, np.ndarray)
        else chain.from_iterable(values)
    )
    if odd:
        raise TypeError(
            f'{what}: could not read {printable_value(odd[0])} as a number'
        )
    try:
        table = np.asarray(values, float)
    except (OverflowError, ValueError):
        raise TypeError(f'{what}: a number is too large') from None
    if table.shape != (len(table), columns)[: min(2, columns)]:
        raise TypeError(f'{what}: of shape {table.shape}')
    return table.reshape(-1, columns)


def _no_numbers(values: Any) -> list:
    """Return the first value that is no number, in a list, if there is one.

    Numpy would take "12" and True for numbers.
    """
    if isinstance(values, np.ndarray) and values.dtype != object:
        good = not values.size or values.dtype.kind in 'iuf'
        return [] if good else values.ravel()[:1].tolist()
    values = list(values)
    bad = {
        kind
        for kind in {*map(type, values)}
        if kind is bool
        or not issubclass(kind, (int, float, np.integer, np.floating))
    }
    return next(([value] for value in values if type(value) in bad), [])


def checked_text(name: Any) -> str:
    """Return a name; a TypeError where it is none or holds half a letter."""
    if type(name) not in (str, int):
        raise TypeError(
            f'name: a text is expected, got {printable_value(name)}'
        )
    try:
        return str(name).encode().decode()
    except UnicodeError:
        raise TypeError(
            f'name: {printable_value(name)} holds half a letter'
        ) from None


def file_name(image: dict) -> str:
    """Return the name of an image's file; none where it is no text."""
    name = image.get('file_name', '')
    return name if isinstance(name, str) else ''
