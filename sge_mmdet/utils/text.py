"""Untrusted text made safe for terminals and logs."""

from typing import Any, Iterable

# Longest name that is shown whole, in characters.
LONGEST_NAME = 200


def printable(text: Any, longest: int = LONGEST_NAME) -> str:
    """Return text without characters that control a terminal.

    Characters that cannot be printed become ``?``, such as those of escape
    sequences, line breaks and marks of the writing direction.

    Args:
        text (Any): Name or message. Numbers are converted to text; other
            types are shown by the name of the type, because the ``repr`` of
            nested containers can be endless.
        longest (int): Largest number of characters to keep. Default: 200.
    """
    if not isinstance(text, (str, int, float, type(None))):
        text = f'<{type(text).__name__}>'
    text = (
        str(text)
        if not isinstance(text, int) or (text.bit_length() < 4 * longest)
        else '<huge number>'
    )
    shown = ''.join(
        letter if letter.isprintable() else '?' for letter in text[:longest]
    )
    return shown + '...' if len(text) > longest else shown


def printable_list(names: Iterable[Any], most: int = 4) -> str:
    """Return the first few names of a list as text, safe for a terminal.

    Args:
        names (Iterable): Names.
        most (int): Largest number of names to show. Default: 4.
    """
    names = list(names)
    rest = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(map(printable, names[:most])) + rest


def printable_value(value: Any, longest: int = 80) -> str:
    """Return a value from a file in Python's notation, safe for a terminal.

    The first eight members of a list are shown, and a nested list only by its
    type, because writing all of it can take forever.

    Args:
        value (Any): Text, number, list or tuple; other values are shown by
            their type.
        longest (int): Largest number of characters of a text. Default: 80.
    """
    if isinstance(value, str):
        # Quotes distinguish "7" from 7.
        shown = f"'{printable(value, longest)}'"
    elif isinstance(value, (list, tuple)):
        members = ', '.join(
            printable_value(member, 20)
            if isinstance(member, str)
            else printable(member, 20)
            for member in value[:8]
        )
        shown = f'[{members}{", ..." if len(value) > 8 else ""}]'
    elif isinstance(value, (bool, int, float, type(None))):
        shown = printable(value, longest)
    else:
        shown = f'<{type(value).__name__}>'
    return shown
