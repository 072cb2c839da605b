"""Edits of good files: of bytes, of entries, of text and of source."""

import contextlib
import io
import json
import pickle
import re
from random import Random
from typing import Any, Callable, Sequence, Tuple

import torch

ODD_VALUES = (
    None,
    True,
    -1,
    0,
    1,
    1.5,
    -1e300,
    float('nan'),
    float('inf'),
    2**31,
    2**63,
    10**30,
    10**400,
    '',
    '1',
    'text',
    'nan',
    '../../x',
    '$x^$',
    '\ud800',
    '\0',
    [],
    {},
    [[]],
    [None],
    [1, 2],
    {'a': 1},
    [0, 0, -1, -1],
)
ODD_TENSORS = (
    torch.tensor(1.0),
    torch.zeros(0),
    torch.ones(3),
    torch.full((3, 2, 1, 1), float('nan')),
)
ODD_SOURCE = (
    'None',
    'True',
    '-1',
    '0',
    '7',
    '1.5',
    "float('nan')",
    "'text'",
    "''",
    '[]',
    '()',
    '{}',
    '[None]',
    'dict(type="SGE")',
    'unknown',
    'dict(groups=3)',
    "dict(groups='a')",
    'dict(grops=64)',
    '...',
    '(True, False)',
    'len',
    '1 / 0',
    "'../../x'",
    "'/nowhere'",
)
# How numbers are written in JSON, and how they are not.
ODD_NUMBERS = (
    '{}.0',
    '{}e0',
    '{}0e-1',
    '-{}',
    '{}.50',
    '0{}',
    '+{}',
    '{}.',
    '"{}"',
    ' {} ',
    '{}E+0',
    '{}_0',
    '0x{}',
    '-0.0',
    '1e400',
    'NaN',
    '-Infinity',
    '1e-400',
    'true',
    'null',
)


def edit_bytes(random: Random, data: bytes) -> bytes:
    """Return a file with some of its bytes changed, added or lost.

    Args:
        random (Random): Chooses the edit.
        data (bytes): The good file.
    """
    begin = random.randrange(len(data))
    end = min(len(data), begin + random.choice((1, 2, 8, 64, 1024)))
    some = bytes(random.randrange(256) for _ in range(end - begin))
    return random.choice(
        (
            lambda: data[:begin],
            lambda: data[begin:],
            lambda: data[:begin] + data[end:],
            lambda: data[:end] + data[begin:],
            lambda: data[:begin] + some + data[end:],
            lambda: data[:begin] + some + data[begin:],
            lambda: data[:begin] + bytes(end - begin) + data[end:],
            lambda: (
                data[:begin]
                + bytes([data[begin] ^ 1 << random.randrange(8)])
                + data[begin + 1 :]
            ),
            lambda: data.decode('latin1').encode('utf-16'),
            lambda: b'\xef\xbb\xbf' + data,
            lambda: data + data,
            lambda: b'',
        )
    )()


def edit_entries(
    random: Random, content: Any, odd_values: Sequence[Any] = ODD_VALUES
) -> None:
    """Change one entry of nested lists and dicts, in place.

    Args:
        random (Random): Chooses the edit.
        content (list or dict): What a good file holds.
        odd_values (Sequence): What to put in. Default: :data:`ODD_VALUES`.
    """
    content, key = _entry(random, content)
    inside = content[key]
    edit = random.choice(
        (
            'delete',
            'replace',
            'replace',
            'replace',
            'repeat',
            'nest',
            'rename',
            'nudge',
        )
    )
    if edit == 'delete':
        del content[key]
    elif edit == 'repeat' and isinstance(content, list):
        content.insert(key, inside)
    elif edit == 'rename' and isinstance(content, dict):
        content[key[:-1]] = content.pop(key)
    elif edit == 'nest':
        content[key] = random.choice(([inside], {'a': inside}))
    elif edit == 'nudge' and isinstance(inside, (int, float)):
        content[key] = inside + random.choice((-1, 1, 1000, 0.5, 10**6))
    elif edit == 'nudge' and isinstance(inside, str) and inside:
        at = random.randrange(len(inside))
        content[key] = (
            inside[:at] + chr(random.randrange(1, 256)) + inside[at + 1 :]
        )
    else:
        content[key] = random.choice(odd_values)


def edit_gently(random: Random, content: Any) -> None:
    """Change a few entries so that the file mostly stays one of its kind.

    What is wrong with such a file is at most a figure.

    Args:
        random (Random): Chooses the edits.
        content (list or dict): What a good file holds.
    """
    for _ in range(random.randrange(1, 9)):
        holder, key = _entry(random, content)
        inside = holder[key]
        if isinstance(holder, dict) and key == 'iscrowd':
            holder[key] = random.choice((True, False, 0, 1, 1.0))
        elif isinstance(holder, dict) and key == 'area':
            holder[key] = random.choice((None, 0, 1024, 9216.0, 1e11, 3))
        elif isinstance(holder, dict) and key == 'score':
            holder[key] = random.choice((0, 1, 0.5, -2, 7.25, 1e-300))
        elif isinstance(inside, torch.Tensor) and len(inside):
            at = random.randrange(len(inside))
            inside[at] = inside[random.randrange(len(inside))]
        elif isinstance(inside, float):
            holder[key] = inside + random.choice((-1, 1, 0.25, 1e-9, 7))
        elif isinstance(holder, list) and isinstance(inside, dict):
            random.choice(
                (
                    random.shuffle,
                    lambda some: some.pop(),
                    lambda some: some.reverse(),
                )
            )(holder)
        if not holder:
            return


def _entry(random: Random, content: Any) -> 'tuple[Any, Any]':
    """Return a list or dict somewhere in a file, and a key of it."""
    while True:
        keys = list(
            content if isinstance(content, dict) else range(len(content))
        )
        key = random.choice(keys)
        inside = content[key]
        if not (isinstance(inside, (dict, list)) and len(inside)) or (
            random.random() < 0.2
        ):
            return content, key
        content = inside


def edit_text(random: Random, text: str) -> str:
    """Return JSON with a number written otherwise or a key that is twice.

    Args:
        random (Random): Chooses the edit.
        text (str): The good file.
    """
    found = random.choice(
        list(
            re.finditer(
                r'(?<=[ \[])\d+\b(?![.])|'
                r'"\w+": [^\[{,}]+',
                text,
            )
        )
    )
    old = found.group()
    if old[0] == '"':
        key, value = old.split(': ')
        new = random.choice(
            (
                f'{old}, {old}',
                f'{key}: 0, {old}',
                f'{old}, {key}: {value}.0',
                f'{old}, {key}: 1',
                f'{old},',
                f'{key} {value}',
            )
        )
    else:
        new = random.choice(ODD_NUMBERS).format(old)
    return text[: found.start()] + new + text[found.end() :]


def edit_source(random: Random, text: str) -> str:
    """Return a config with a line, a word, a value or a bracket changed.

    Args:
        random (Random): Chooses the edit.
        text (str): The good config.
    """

    def replaced(pattern: str, new: Callable[[str], str]) -> str:
        found = random.choice(list(re.finditer(pattern, text)))
        return text[: found.start()] + new(found.group()) + text[found.end() :]

    def misspelt(word: str) -> str:
        at = random.randrange(len(word))
        return random.choice(
            (word[:at] + word[at + 1 :], word + 'x', word.swapcase())
        )

    lines = text.splitlines(keepends=True)
    at = random.randrange(len(lines))
    odd = random.choice(ODD_SOURCE)
    return random.choice(
        (
            lambda: ''.join(lines[:at] + lines[at + 1 :]),
            lambda: ''.join(lines[:at] + lines[at : at + 1] + lines[at:]),
            lambda: ''.join([*lines[:at], '  ', *lines[at:]]),
            lambda: replaced(r'[A-Za-z_]\w+', misspelt),
            lambda: replaced(r"(?<==)[\w'./-]+", lambda _: odd),
            lambda: replaced(r"(?<==)[\w'./-]+", lambda _: odd),
            lambda: replaced(r'\b\d+(\.\d+)?\b', lambda _: odd),
            lambda: replaced(r"[\[\](){},'=]", lambda _: ''),
            lambda: text.replace(
                "type='ResNet'", random.choice(_odd_backbones(odd))
            ),
            lambda: text + f'\n{odd}\n',
        )
    )()


def edit(random: Random, kind: str, data: bytes) -> bytes:
    """Return an edited file, other than the good one.

    Args:
        random (Random): Chooses the edit.
        kind (str): Of the file; its ending tells the format.
        data (bytes): The good file.
    """
    while True:
        edited = _edit_once(random, kind, data)
        if edited != data:
            return edited


def _edit_once(random: Random, kind: str, data: bytes) -> bytes:
    how = random.random()
    if how < 0.2:
        return edit_bytes(random, data)
    if kind.endswith('.pth'):
        content, edited = torch.load(io.BytesIO(data)), io.BytesIO()
        edit_entries(random, content, ODD_VALUES + ODD_TENSORS)
        torch.save(content, edited)
        return edited.getvalue()
    if kind.endswith('.py'):
        return edit_source(random, data.decode()).encode()
    is_json = kind.endswith('.json')
    if is_json and how < 0.4:
        return edit_text(random, data.decode()).encode()
    content = (json.loads if is_json else pickle.loads)(data)
    (edit_gently if how > 0.7 else edit_entries)(random, content)
    if is_json:
        return json.dumps(content).encode()
    with contextlib.suppress(Exception):
        return pickle.dumps(content)
    return b''


def _odd_backbones(odd: str) -> Tuple[str, ...]:
    """Return what takes the place of a plain backbone, with an odd value."""
    by_plugin = "type='ResNet', plugins=[dict(cfg=dict(type='SGE'"
    return (
        f"type='SGEResNet', sge={odd}",
        f"type='SGEResNet', sge=dict(groups={odd})",
        f"type='SGEResNet', sge_stages={odd}",
        f"type='ResNet', plugins={odd}",
        f"{by_plugin}, groups={odd}), position='after_conv3')]",
        f'{by_plugin}), position={odd})]',
    )
