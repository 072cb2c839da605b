"""Check that data from a file is plain and quick to traverse.

A list that contains another list twice, which again contains one twice, and so
on, is small in memory, but takes forever to traverse or print. The data must
also not contain functions.
"""

from collections import Counter, OrderedDict
from typing import Any, Dict, Iterable

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from .refusal import Refused
from .unpickler import METHODS

DEEPEST = 100
# Number of steps that any file may take, in addition to its size.
BASE = 1_000_000
CONTAINERS = dict, OrderedDict, Counter, list, tuple, set
PLAIN = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    bytearray,
    torch.Tensor,
    torch.nn.Parameter,
    torch.Size,
    torch.dtype,
    torch.device,
    HistoryBuffer,
)
FUNCTIONS = [
    getattr(cls, name) for cls, names in METHODS.items() for name in names
]


def check_plain(root: Any, size: int) -> None:
    """Raise unless data is plain and takes few steps to traverse.

    Args:
        root (Any): Data from a file.
        size (int): Size of the file, in bytes.

    Raises:
        Refused: If it contains objects of other types or itself, is nested too
            deep, or repeats the same containers too often.
    """
    steps: Dict[int, int] = {}
    path = [_Walk(root)]
    inside = {id(root)}
    while path:
        walk = path[-1]
        below = next(
            (part for part in walk.parts if not walk.count(part, steps)), None
        )
        if walk.steps > BASE + size:
            raise Refused('it holds the same lists again and again')
        if below is None:
            path.pop()
            inside.remove(id(walk.holder))
            steps[id(walk.holder)] = walk.steps
            if path:
                path[-1].steps += walk.steps
        elif id(below) in inside or len(path) >= DEEPEST:
            raise Refused('it holds lists in lists without end')
        else:
            path.append(_Walk(below))
            inside.add(id(below))


class _Walk:
    """State of the traversal of one container."""

    def __init__(self, holder: Any) -> None:
        self.holder = holder
        self.parts = iter(_parts(holder))
        self.steps = 1

    def count(self, part: Any, steps: Dict[int, int]) -> bool:
        """Add the steps of a part and return True, if they are known."""
        if type(part) not in CONTAINERS:
            self.steps += _leaf_steps(part)
        elif id(part) in steps:
            self.steps += steps[id(part)]
        else:
            return False
        return True


def _parts(holder: Any) -> Iterable[Any]:
    """Return the items of a container; keys of dicts need no check."""
    if type(holder) not in CONTAINERS:
        return [holder]
    if not isinstance(holder, dict):
        return holder
    metadata = getattr(holder, '__dict__', {}).get('_metadata')
    return [*holder.values(), metadata]


def _leaf_steps(part: Any) -> int:
    """Return the number of steps of a part that is not a container."""
    if isinstance(part, (str, bytes, bytearray)):
        return 1 + len(part) // 64
    if isinstance(part, np.ndarray):
        return 1 + part.nbytes // 64
    if isinstance(part, torch.Size):
        return 1 + len(part)
    if isinstance(part, (*PLAIN, np.number, np.bool_)) or any(
        part is function for function in FUNCTIONS
    ):
        return 1
    raise Refused(
        f'it holds a {type(part).__name__}, where plain data is expected'
    )
