"""Reading of the config text in a checkpoint as data.

MMEngine writes its config into each checkpoint, as text. It executes that text
when a run is resumed (``Runner.resume``) or a detector is built from only a
checkpoint (``DetInferencer``). The text consists of assignments of literals,
``dict(...)``, lists and tuples; :func:`check_text` refuses anything else.

Even as data, a config names code: modules to import, and classes, which
MMEngine looks up by any path, registered or not. MMCV and MMDetection even
evaluate a few values. :func:`harmless_text` removes the assignments that name
code which is not registered; see ``config_names.py``.
"""

import ast
import math
import re
from typing import Any, Iterator, List, Tuple, cast

from ...utils.text import printable
from .config_names import Names, unknown_code
from .refusal import Refused

LONGEST = 500_000
# Python's parser needs up to half a kilobyte for a word or sign. MMDetection's
# longest config, that of Grounding DINO, has 18,310 of them.
MOST_WORDS = 60_000
WORD = re.compile(r'\w+|[^\w\s]')
# The form in which MMEngine writes float('inf') and float('nan').
NUMBERS = dict(inf=math.inf, nan=math.nan)


def harmless_text(text: str) -> Tuple[str, List[str]]:
    """Return config text that MMEngine can execute and build safely.

    Args:
        text (str): Config text in a checkpoint.

    Returns:
        tuple[str, list[str]]: Text without the assignments that name code
        which is not registered, and descriptions of these assignments.

    Raises:
        Refused: If the text is more than data.
    """
    lines, left_out, found = text.split('\n'), [], list(check_text(text))
    names = Names({_name(node): value} for node, value in found)
    for node, value in found:
        name = _name(node)
        reason = next(unknown_code(name, value, names), None)
        if reason is not None:
            first, last = node.lineno - 1, _last_line(node)
            lines[first:last] = [''] * (last - first)
            left_out.append(
                f'{printable(name)} (line {node.lineno}: {printable(reason)})'
            )
    return '\n'.join(lines), left_out


def check_text(text: str) -> Iterator[Tuple[ast.Assign, Any]]:
    """Yield the assignments of config text, with their values.

    Args:
        text (str): Config text.

    Raises:
        Refused: If the text is anything but assignments of data.
    """
    if len(text) > LONGEST:
        raise Refused(f'its config is of {len(text)} letters')
    if sum(1 for _ in WORD.finditer(text)) > MOST_WORDS:
        raise Refused(f'its config is of more than {MOST_WORDS} words')
    # MMEngine substitutes double braces, even inside quotes, before it
    # executes the text.
    for mark in '{{', '\r', '\f', '\0':
        if mark in text:
            line = text[: text.index(mark)].count('\n') + 1
            raise Refused(f'line {line} of its config holds {mark!r}')
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        line = getattr(error, 'lineno', None) or 1
        raise Refused(f'line {line} of its config cannot be read') from error
    end = 0
    for node in body:
        if not (
            isinstance(node, ast.Assign)
            and len(node.targets) == 1
            and isinstance(node.targets[0], ast.Name)
            and not node.targets[0].id.startswith('_')
            and node.targets[0].id not in NUMBERS
            and node.col_offset == 0
            and node.lineno > end
        ):
            raise Refused(
                f'line {node.lineno} of its config does not assign data'
            )
        end = _last_line(node)
        yield node, _value(node.value)


def _name(node: ast.Assign) -> str:
    return cast(ast.Name, node.targets[0]).id


def _last_line(node: ast.stmt) -> int:
    return cast(int, node.end_lineno)


def _value(node: ast.expr) -> Any:
    """Return the data that an expression stands for."""
    # Bytes are refused, because MMEngine could evaluate them like text.
    if isinstance(node, ast.Constant) and (
        node.value is None or type(node.value) in (str, int, float, bool)
    ):
        return node.value
    if isinstance(node, ast.Name) and node.id in NUMBERS:
        return NUMBERS[node.id]
    if (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.USub)
        and (isinstance(node.operand, (ast.Constant, ast.Name)))
    ):
        number = _value(node.operand)
        if type(number) in (int, float):
            return -number
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Dict) and None not in node.keys:
        keys = [_value(key) for key in node.keys if key is not None]
        if all(isinstance(key, (str, int, float, type(None))) for key in keys):
            return dict(zip(keys, map(_value, node.values)))
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and (
            node.func.id == 'dict'
            and not node.args
            and all(item.arg for item in node.keywords)
        )
    ):
        return {item.arg: _value(item.value) for item in node.keywords}
    raise Refused(
        f'line {node.lineno} of its config is more than data, which '
        'could run code'
    )
