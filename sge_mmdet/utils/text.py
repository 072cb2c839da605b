"""Text from files of others, made fit for a terminal or a log."""

from typing import Any, Iterable

# More letters of a name are not shown.
LONGEST_NAME = 200


def printable(text: Any, longest: int = LONGEST_NAME) -> str:
    """Return text that a terminal shows and does not obey.

    Letters that cannot be printed, such as those of escape sequences, line
    breaks and marks that turn the direction of writing, become ``?``.

    Args:
        text: A name or a message; other types are shown as ``repr`` does only
            where they are numbers, and by their type otherwise, since the
            ``repr`` of nested containers can be endless.
        longest (int): Letters to keep at most. Default: 200.
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
    """Return the first few of many names, fit for a terminal.

    Args:
        names (Iterable): The names.
        most (int): How many to show. Default: 4.
    """
    names = list(names)
    rest = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(map(printable, names[:most])) + rest


def printable_value(value: Any, longest: int = 80) -> str:
    """Return a value of a file as Python writes it, fit for a terminal.

    Of lists the first eight members are shown, and of lists in lists their
    type alone, since to write them all can take for ever.

    Args:
        value: Text, a number, a list or a tuple; others are shown by type.
        longest (int): Letters to keep at most. Default: 80.
    """
    if isinstance(value, str):
        # Quotes tell "7" from 7.
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
