"""Python source of values in configs."""

from typing import Any, Sequence, Union


class Code(str):
    """Text that is written into a config as it is, such as a name."""

    def __repr__(self) -> str:
        """Return the text without quotes."""
        return str(self)


def to_source(value: Any) -> str:
    """Return Python source of a value, with dict(...) as in configs.

    Args:
        value (Any): Value; a :class:`Code` is written as it is.
    """
    if isinstance(value, dict):
        items = (f'{key}={to_source(item)}' for key, item in value.items())
        return f'dict({", ".join(items)})'
    if isinstance(value, list):
        return f'[{", ".join(map(to_source, value))}]'
    return repr(value)


def item_source(path: Sequence[Union[str, int]]) -> str:
    """Return the source of an inherited value, such as ``_base_.a.b[0]``.

    Args:
        path (Sequence[str or int]): Keys and indices that lead to the value.
    """
    text = '_base_'
    for key in path:
        text += f'[{key}]' if isinstance(key, int) else f'.{key}'
    return text
