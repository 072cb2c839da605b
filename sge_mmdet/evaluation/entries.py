"""Checks of the ids, numbers and names in annotations and results."""

import contextlib
from collections import Counter
from itertools import chain
from typing import Any, Sequence

import numpy as np

from ..utils.text import printable_value

# Largest id for which a table of all ids up to it is worth its memory.
MOST_TABLED = 5_000_000
# Engines count in floating point, in which whole numbers are exact up to this.
LARGEST_ID = 2**53
# Largest coordinate of a box, in pixels. Areas of larger boxes could not be
# told apart in floating point.
LARGEST_COORDINATE = 1e9


def unique_ids(name: str, key: str, entries: Sequence[dict]) -> np.ndarray:
    """Return the ids of entries.

    Args:
        name (str): Name of the file, for messages.
        key (str): Name of the list that holds the entries, for messages.
        entries (Sequence[dict]): Entries, n of them.

    Returns:
        np.ndarray: Ids of shape (n,).

    Raises:
        KeyError: If an entry has no id.
        ValueError: If an id is not a whole number, too large, or not unique.
    """
    ids = [entry['id'] for entry in entries]
    wrong = [
        value
        for value in ids
        if not isinstance(value, int)
        or isinstance(value, bool)
        or abs(value) > LARGEST_ID
    ]
    if wrong:
        raise ValueError(
            f'{name}: expected ids of {key} that are whole numbers up to '
            f'2^53, got {printable_value(wrong[0])}'
        )
    repeated = [value for value, count in Counter(ids).items() if count > 1]
    if repeated:
        raise ValueError(
            f'{name}: expected unique ids of {key}; {len(repeated)} ids occur '
            f'more than once, such as {repeated[0]}'
        )
    return np.array(ids, int)


def find_ids(known: np.ndarray, ids: Any) -> np.ndarray:
    """Return the position of each id among known ids.

    Args:
        known (np.ndarray): Known ids, unique, of shape (K,).
        ids (array): Ids of shape (n,).

    Returns:
        np.ndarray: Positions of shape (n,); -1 for ids that are not known.
    """
    ids = np.asarray(ids)
    if not len(known) or not len(ids):
        return np.full(len(ids), -1)
    largest = known.max()
    if ids.dtype.kind == 'i' and 0 <= known.min() and largest < MOST_TABLED:
        # Several times faster than the search below.
        table = np.full(largest + 2, -1)
        table[known] = np.arange(len(known))
        return table[np.where((ids < 0) | (ids > largest), largest + 1, ids)]
    order = np.argsort(known, kind='stable')
    place = np.minimum(np.searchsorted(known[order], ids), len(known) - 1)
    return np.where(known[order][place] == ids, order[place], -1)


def id_column(name: str, values: Any) -> np.ndarray:
    """Return a column of ids as an array.

    Args:
        name (str): Name of the column, for messages.
        values (array or Sequence): Ids, n of them.

    Returns:
        np.ndarray: Ids of shape (n,).

    Raises:
        TypeError: If a value is not a number.
    """
    wrong = _first_not_a_number(values)
    with contextlib.suppress(OverflowError, ValueError):
        ids = np.asarray(values if len(values) else np.zeros(0, int))
        if not wrong and ids.ndim == 1 and ids.dtype.kind in 'iuf':
            return ids
    raise TypeError(
        f'{name}: expected a whole number, got '
        f'{printable_value(wrong[0] if wrong else values)}'
    )


def number_table(name: str, values: Any, columns: int) -> np.ndarray:
    """Return rows of numbers as an array of double precision.

    Args:
        name (str): Name of the values, for messages.
        values (array or Sequence): Rows, n of them; plain numbers where there
            is one column.
        columns (int): Number of columns.

    Returns:
        np.ndarray: Numbers of shape (n, columns).

    Raises:
        TypeError: If a row has another length, or a value is not a number.
    """
    if len(values) == 0:
        return np.zeros((0, columns))
    has_rows = columns > 1 and not isinstance(values, np.ndarray)
    if has_rows:
        _check_rows(name, values, columns)
    wrong = _first_not_a_number(
        chain.from_iterable(values) if has_rows else values
    )
    if wrong:
        raise TypeError(
            f'{name}: expected a number, got {printable_value(wrong[0])}'
        )
    try:
        table = np.asarray(values, float)
    except (OverflowError, ValueError):
        raise TypeError(
            f'{name}: expected numbers that fit into double precision, got a '
            'larger one'
        ) from None
    if table.shape != (len(table), columns)[: min(2, columns)]:
        raise TypeError(
            f'{name}: expected {columns} columns, got shape {table.shape}'
        )
    return table.reshape(-1, columns)


def are_boxes(box: np.ndarray) -> np.ndarray:
    """Return which boxes have finite numbers and a size of 0 or more.

    Args:
        box (np.ndarray): Boxes (x, y, width, height), of shape (n, 4).

    Returns:
        np.ndarray: Booleans of shape (n,).
    """
    # NaN compares false and is therefore rejected.
    return np.logical_and(
        (abs(box) <= LARGEST_COORDINATE).all(1), (box[:, 2:] >= 0).all(1)
    )


def checked_text(name: Any) -> str:
    """Return the name of a category as text.

    Args:
        name (str or int): The name.

    Raises:
        TypeError: If it is neither text nor a whole number, or not valid
            Unicode.
    """
    if type(name) not in (str, int):
        raise TypeError(f'name: expected text, got {printable_value(name)}')
    try:
        return str(name).encode().decode()
    except UnicodeError:
        raise TypeError(
            'name: expected text that can be encoded in UTF-8, got '
            f'{printable_value(name)}, which contains half of a surrogate pair'
        ) from None


def file_name(image: dict) -> str:
    """Return the name of an image's file; "" if the entry has no such text.

    Args:
        image (dict): Entry of "images".
    """
    name = image.get('file_name', '')
    return name if isinstance(name, str) else ''


def describe_fault(entry: str, error: Exception) -> str:
    """Return what is wrong with an entry, for messages.

    Args:
        entry (str): Kind of the entry, such as "a detection".
        error (Exception): Error that reading it raised.
    """
    if isinstance(error, KeyError):
        return f'{entry} lacks the key {error}'
    return f'{entry} has a wrong value: {error}'


def _check_rows(name: str, rows: Any, columns: int) -> None:
    for row in rows:
        if (
            not isinstance(row, (list, tuple, np.ndarray))
            or len(row) != columns
        ):
            raise TypeError(
                f'{name}: expected a list of {columns} numbers, got '
                f'{printable_value(row)}'
            )


def _first_not_a_number(values: Any) -> list:
    """Return a list of the first value that is not a number; [] without any.

    Numpy would accept the text "12" and True as numbers.
    """
    if isinstance(values, np.ndarray) and values.dtype != object:
        good = not values.size or values.dtype.kind in 'iuf'
        return [] if good else values.ravel()[:1].tolist()
    values = list(values)
    # Looking at the few types instead of all values is several times faster.
    wrong = {
        kind
        for kind in {*map(type, values)}
        if kind is bool
        or not issubclass(kind, (int, float, np.integer, np.floating))
    }
    return next(([value] for value in values if type(value) in wrong), [])
