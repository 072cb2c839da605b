"""Things that a pickle from elsewhere could hold to do harm.

What would run code makes a folder or a file at a place that is given, so that
it is seen and does nothing else.
"""

import io
import os
import pickle
from random import Random
from typing import Any, Callable, List, Sequence, Tuple

import torch

from .opcodes import Call, Name, Node, Raw, State, Stored

# Functions and classes that readers know; with arguments of any kind.
KNOWN = tuple(
    Name(*names)
    for names in (
        ('torch._utils', '_rebuild_tensor_v2'),
        ('torch._utils', '_rebuild_tensor'),
        ('torch._utils', '_rebuild_tensor_v3'),
        ('torch._utils', '_rebuild_parameter'),
        ('torch._utils', '_rebuild_parameter_with_state'),
        ('torch._utils', '_rebuild_qtensor'),
        ('torch._utils', '_rebuild_sparse_tensor'),
        ('torch._tensor', '_rebuild_from_type_v2'),
        ('torch.storage', '_load_from_bytes'),
        ('torch', 'Size'),
        ('torch', 'device'),
        ('torch', 'FloatStorage'),
        ('torch', 'float32'),
        ('torch', 'Tensor'),
        ('torch.nn.parameter', 'Parameter'),
        ('torch.storage', 'UntypedStorage'),
        ('_codecs', 'encode'),
        ('collections', 'OrderedDict'),
        ('collections', 'Counter'),
        ('collections', 'defaultdict'),
        ('builtins', 'set'),
        ('builtins', 'bytes'),
        ('builtins', 'bytearray'),
        ('builtins', 'complex'),
        ('builtins', 'getattr'),
        ('builtins', 'list'),
        ('builtins', 'range'),
        ('numpy', 'dtype'),
        ('numpy', 'ndarray'),
        ('numpy.core.multiarray', '_reconstruct'),
        ('numpy._core.multiarray', 'scalar'),
        ('mmengine.logging.history_buffer', 'HistoryBuffer'),
        ('mmengine.optim.scheduler.param_scheduler', 'OneCycleParamScheduler'),
    )
)
WAYS = ('reduce', 'reduce', 'reduce', 'newobj', 'newobj_ex', 'obj', 'inst')


class _Hostile:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Tuple[Callable, tuple]:
        return self.call


def hostile_node(random: Random, marker: str, seen: Sequence[Node]) -> Node:
    """Return something that does not belong where it is put.

    Args:
        random (Random): Chooses what.
        marker (str): A path that anything that runs would create.
        seen (Sequence): Parts of the same tree.
    """

    def part(_: Random) -> Node:
        return random.choice(seen) if seen else None

    def deeper(_: Random) -> Node:
        return State(
            random.choice(values)(random), random.choice(values)(random)
        )

    values = (
        odd_value,
        part,
        shared,
        many,
        odd_call,
        odd_call,
        lambda _: forbidden_call(random, marker),
        lambda _: random.choice(KNOWN),
    )
    return random.choice(
        (
            *values,
            deeper,
            odd_storage,
            lambda _: Raw(bytes(random.randrange(256) for _ in range(3))),
        )
    )(random)


def odd_value(random: Random) -> Node:
    """Return a number, a text, bytes or a container of few of them."""
    large = 10 ** random.choice((30, 300, 3000))
    numbers = (None, True, False, 0, -1, 2, 2**31 - 1, 2**31, 2**63, -(2**63))
    more = large, 0.5, float('nan'), float('inf')
    long = 'x' * random.choice((9, 10**5))
    texts = '', 'latin1', '\ud800', '\x1b[31m', long
    raw = b'', b'\0' * 8, b'\xff' * random.choice((3, 10**4))
    tuples = (), (1, 2), (-1,), (2**31, 2**31), ([],)
    lists: tuple = [], [0], [[]]
    dicts: tuple = {}, {'a': 1}, {(): 1}, {1: {}}, {0.5: 1}
    sets = frozenset(), frozenset((1, 2))
    return random.choice(
        (*numbers, *more, *texts, *raw, *tuples, *lists, *dicts, *sets)
    )


def shared(random: Random) -> Node:
    """Return containers that hold each other twice, over and over."""
    inner: Any = random.choice(([], (), {}, 'x' * 9, [0] * 9))
    kinds: List[Callable[[Any], Any]] = random.choice(
        (
            [lambda x: [x, x]],
            [lambda x: (x, x)],
            [lambda x: {'a': x, 'b': x}],
            [lambda x: [x], lambda x: (x, x)],
        )
    )
    for i in range(random.choice((3, 30, 90, 150))):
        inner = kinds[i % len(kinds)](inner)
    return inner


def many(random: Random) -> Node:
    """Return the same thing a great many times."""
    return [random.choice((odd_value, odd_call, odd_value))(random)] * (
        random.choice((10, 1000, 20_000))
    )


def odd_call(random: Random) -> Node:
    """Return a call that is allowed, with arguments that are not."""
    arguments = tuple(
        random.choice(
            (
                odd_value,
                odd_value,
                shared,
                odd_storage,
                lambda _: random.choice(KNOWN),
            )
        )(random)
        for _ in range(random.randrange(7))
    )
    return Call(
        random.choice(KNOWN),
        arguments if random.random() < 0.9 else odd_value(random),
        random.choice(WAYS),
    )


def odd_storage(random: Random) -> Node:
    """Return numbers of a tensor that are not there or not so many."""
    count = random.choice((0, 1, 4, 2**20, 2**40, -1, '4', True))
    if random.random() < 0.5:
        return Stored(random.choice(_odd_identifiers(count)))
    return Call(
        Name('torch.storage', '_load_from_bytes'),
        (_damaged_storage(random, count),),
    )


def _odd_identifiers(count: Any) -> Tuple[Any, ...]:
    """Return what may stand where a checkpoint names a storage."""
    kind = Name('torch', 'FloatStorage')
    return (
        ('storage', kind, '0', 'cpu', count),
        ('storage', kind, '0', 'cpu', count, None),
        ('storage', kind, '../0', 'cpu', count),
        ('module',),
        (),
        'storage',
        ['storage'],
    )


def _damaged_storage(random: Random, count: Any) -> Any:
    """Return a storage as bytes, damaged, or a number in its place."""
    data = io.BytesIO()
    torch.save(
        torch.zeros(4)._typed_storage(),
        data,
        _use_new_zipfile_serialization=False,
    )
    raw, at = data.getvalue(), random.randrange(len(data.getvalue()))
    return random.choice(
        (
            raw,
            raw[:at],
            raw[:at] + b'\xff' + raw[at + 1 :],
            raw + bytes(8),
            count,
        )
    )


def forbidden_call(random: Random, marker: str) -> Node:
    """Return a call that would create something.

    Args:
        random (Random): Chooses which.
        marker (str): The path of it.
    """
    name, arguments = random.choice(_forbidden(marker))
    made = Call(Name(*name), arguments, random.choice(WAYS))
    how = random.randrange(6)
    if how == 0:
        return State(
            Call(Name('collections', 'OrderedDict'), ()), {'__reduce__': made}
        )
    if how == 1:
        return Call(
            Name('torch._tensor', '_rebuild_from_type_v2'),
            (Name(*name), Name('torch', 'Tensor'), arguments, None),
        )
    if how == 2:
        return Call(Name('collections', 'Counter'), (made,))
    return made


def _forbidden(marker: str) -> Sequence[Tuple[Tuple[str, str], tuple]]:
    """Return names of functions that create something, with arguments."""
    code = f'open({marker!r}, "w")'
    inside = pickle.dumps(_Hostile(os.mkdir, marker))
    saved = io.BytesIO()
    torch.save(
        _Hostile(os.mkdir, marker), saved, _use_new_zipfile_serialization=False
    )
    return (
        (('os', 'mkdir'), (marker,)),
        (('posix', 'mkdir'), (marker,)),
        (('os', 'system'), (f'mkdir {marker}',)),
        (('builtins', 'eval'), (code,)),
        (('builtins', 'exec'), (code,)),
        (('__builtin__', 'eval'), (code,)),
        (('builtins', 'open'), (marker, 'w')),
        (('subprocess', 'check_call'), (['mkdir', marker],)),
        (('pickle', 'loads'), (inside,)),
        (('_pickle', 'loads'), (inside,)),
        (('torch.storage', '_load_from_bytes'), (saved.getvalue(),)),
        (('torch.serialization', 'os.mkdir'), (marker,)),
        (('mmengine.config', 'Config.fromstring'), (f'a = {code}', '.py')),
        (('torch.hub', 'os.mkdir'), (marker,)),
        (('shutil', 'copyfile'), ('/dev/null', marker)),
        (
            ('pathlib', 'Path.mkdir'),
            (Call(Name('pathlib', 'PosixPath'), (marker,)),),
        ),
        (('functools', 'reduce'), (Name('os', 'mkdir'), [marker, 511])),
        (('builtins', 'map'), (Name('os', 'mkdir'), [marker])),
    )
