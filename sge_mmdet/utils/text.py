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
    text = str(text) if not isinstance(text, int) or (
        text.bit_length() < 4 * longest) else '<huge number>'
    shown = ''.join(letter if letter.isprintable() else '?'
                    for letter in text[:longest])
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
