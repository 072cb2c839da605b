"""An unpickler that builds only the contents of MMEngine's checkpoints.

It is the reader of :mod:`sge_mmdet.utils.plain_pickle` with a closed list of
names; PyTorch's list of allowed functions, which is shared by the process, is
neither used nor changed. A budget limits the memory of built objects. Keys of
dicts are text or numbers, because the hash of other objects can take forever.
"""

import codecs
import io
import pickle
import sys
from collections import Counter, OrderedDict
from types import SimpleNamespace
from typing import Any, Callable, Dict, Optional

import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler import OneCycleParamScheduler

from ...utils.plain_pickle import LARGEST_KEY, PlainPickle, Stateful
from ...utils.text import printable
from . import pickled_numpy, pickled_tensors
from .refusal import Budget, Damaged, Refused

# Functions that MMEngine writes into its checkpoints, which pickle stores as
# ``getattr(class, name)``.
METHODS = {
    HistoryBuffer: ('min', 'max', 'current', 'mean'),
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}
# Hashes of numbers can be made to collide, which makes a dict slow; those of
# text cannot.
MOST_NUMBER_KEYS = 50_000
NEWEST_PROTOCOL = 4
# Upper bounds of the memory of an object that a function made, and of an entry
# of the memo, in bytes.
CALL_COST, MEMO_COST = 500, 150


def get_pickled_method(cls: Any, name: Any) -> Callable:
    """Stand in for ``getattr``, which could return any function."""
    if not any(
        cls is owner and name in names
        for owner, names in METHODS.items()
        if isinstance(name, str)
    ):
        owner = getattr(cls, '__name__', cls)
        raise Refused(
            f'it contains getattr({printable(owner)}, '
            f'{printable(name)}), which could run code'
        )
    return getattr(cls, name)


def encode(text: Any, encoding: Any) -> bytes:
    """Stand in for ``codecs.encode``; return bytes pickled as text."""
    if not isinstance(text, str) or encoding not in ('latin1', 'latin-1'):
        raise Refused('it contains bytes that are written in another way')
    return codecs.encode(text, 'latin1')


def new_bytes() -> bytes:
    """Stand in for ``bytes()``, used for the data of an empty array."""
    return b''


def new_bytearray(*args: Any) -> bytearray:
    """Stand in for ``bytearray``; refuse numbers, which would set its size."""
    if args and isinstance(args[0], str):
        return bytearray(encode(*args))
    if args and not isinstance(args[0], bytes):
        raise Refused('it contains a bytearray that is not of bytes')
    return bytearray(*args[:1])


def new_complex(real: Any, imaginary: Any) -> complex:
    """Stand in for ``complex``."""
    if not (type(real) is type(imaginary) is float):
        raise Refused(
            'it contains a complex number of other parts than floats'
        )
    return complex(real, imaginary)


def new_set(items: Any = ()) -> set:
    """Stand in for ``set``; pickles pass a list.

    Other iterables are refused: a tensor of a few bytes can be endless.
    """
    if not isinstance(items, (list, tuple)):
        raise Refused('it contains a set that is not of a list')
    return set(items)


def new_counter(items: Any = None) -> Counter:
    """Stand in for ``Counter``; pickles pass a dict."""
    if items is not None and type(items) is not dict:
        raise Refused('it contains a Counter that is not of a dictionary')
    return Counter(items)


# Functions that may be called, by their names in pickles.
FUNCTIONS = {
    'builtins.getattr': get_pickled_method,
    'builtins.bytes': new_bytes,
    'builtins.bytearray': new_bytearray,
    'builtins.complex': new_complex,
    'builtins.set': new_set,
    'collections.Counter': new_counter,
    '_codecs.encode': encode,
    **pickled_numpy.FUNCTIONS,
    **pickled_tensors.FUNCTIONS,
}
CALLABLE = {id(function) for function in FUNCTIONS.values()}
# Objects that may be named but not called.
CLASSES = {
    **pickled_numpy.CLASSES,
    'torch.Tensor': torch.Tensor,
    'torch.nn.parameter.Parameter': torch.nn.Parameter,
    'torch.storage.UntypedStorage': torch.UntypedStorage,
    **{f'{cls.__module__}.{cls.__name__}': cls for cls in METHODS},
    # Protocol 4 names these methods; older protocols call ``getattr``.
    **{
        f'{cls.__module__}.{cls.__name__}.{name}': getattr(cls, name)
        for cls, names in METHODS.items()
        for name in names
    },
}


def pickle_module_for(
    size: int, storages: Optional[Dict[str, int]]
) -> SimpleNamespace:
    """Return the ``pickle_module`` with which :func:`torch.load` reads a file.

    Args:
        size (int): Size of the file, in bytes.
        storages (dict[str, int], optional): Sizes of the tensors in an
            archive by name, in bytes; None for PyTorch's older format.
    """

    class Unpickler(CheckpointUnpickler):
        """Unpickler of one file."""

        allowance = SimpleNamespace(
            budget=Budget(size),
            storages=storages,
            unclaimed=size,
            claimed={},
            number_keys=MOST_NUMBER_KEYS,
        )

    return SimpleNamespace(
        __name__=__name__,
        Unpickler=Unpickler,
        load=lambda file, **options: Unpickler(file, **options).load(),
    )


class CheckpointUnpickler(PlainPickle):
    """Unpickler with a budget; :func:`pickle_module_for` creates it.

    Args:
        file (io.BytesIO): File, read from its position on.
        **options: Options of :func:`torch.load`, which do not matter here.
    """

    mappings = (dict, OrderedDict, Counter)
    allowance: SimpleNamespace
    # PyTorch sets it, to return the storage of a tensor.
    persistent_load: Callable[[Any], Any]

    def __init__(self, file: io.BytesIO, **options: Any) -> None:
        # A copy of a large file would not be in the budget.
        super().__init__(file.getbuffer(), {}, self.allowance.budget)
        self.file = file

    def load(self) -> Any:
        """Return the content of the next pickle; see :class:`PlainPickle`."""
        self.at = self.file.tell()
        self.places: Dict[int, Any] = {}
        content = super().load()
        self.file.seek(self.at)
        return content

    def find_class(self, module: str, name: str) -> Any:
        """Return the object that a name in the file stands for."""
        path = f'{module.replace("__builtin__", "builtins")}.{name}'
        if path in FUNCTIONS:
            return FUNCTIONS[path]
        if path in CLASSES:
            return CLASSES[path]
        dtype = vars(torch).get(name) if module == 'torch' else None
        if isinstance(dtype, torch.dtype):
            return dtype
        raise Refused(f'it contains {printable(path)}, which could run code')

    def check_protocol(self, protocol: int) -> None:
        """Refuse newer protocols."""
        if protocol > NEWEST_PROTOCOL:
            raise Refused(
                f'it is written with pickle_protocol={protocol}, and 2 to '
                f'{NEWEST_PROTOCOL} are read; torch.save writes 2 by itself'
            )

    def put(self, index: int) -> None:
        """Store the last object in the memo, under any number."""
        if index not in self.places:
            self.budget.spend(MEMO_COST)
        self.places[index] = self.stack[-1]

    def memoize(self) -> None:
        """Store the last object in the memo, under the next number."""
        self.put(len(self.places))

    def get(self, index: int) -> None:
        """Push an object of the memo."""
        if index not in self.places:
            raise IndexError
        self.refer(self.places[index])

    def add_items(self) -> None:
        """Add items to a set; refuse other objects."""
        items = self.since_mark()
        target = self.target(set)
        before = sys.getsizeof(target)
        for key in items:
            self.check_key(key)
        target.update(items)
        self.budget.spend(sys.getsizeof(target) - before)

    def call(self) -> None:
        """Call a function in :data:`FUNCTIONS`."""
        args, function = self.stack.pop(), self.stack.pop()
        if id(function) not in CALLABLE or type(args) is not tuple:
            raise Refused('it calls an object that checkpoints do not call')
        self.budget.spend(CALL_COST + sum(map(_price, args)))
        if function is new_set:
            for key in (
                key
                for arg in args
                if type(arg) in (list, tuple)
                for key in arg
            ):
                self.check_key(key)
        made = function(*args)
        self.stack.append(made)
        if isinstance(made, torch.Tensor):
            # A tensor that repeats elements becomes larger when copied.
            self.budget.spend(
                max(
                    0,
                    (
                        made.numel() * made.element_size()
                        - made.untyped_storage().nbytes()
                    ),
                )
            )

    def create(self) -> None:
        """Create a log buffer; refuse other classes."""
        args, cls = self.stack.pop(), self.stack.pop()
        if cls is not HistoryBuffer or type(args) is not tuple or args:
            raise Refused(
                'it creates an object of a class that is not allowed'
            )
        self.budget.spend(CALL_COST)
        self.stack.append(cls.__new__(cls))

    def build(self) -> None:
        """Set the state of an object."""
        made, state = self.stack[-2], self.stack[-1]
        self.budget.spend(CALL_COST)
        if isinstance(made, Stateful):
            if type(state) is tuple:
                self.budget.spend(sum(map(_price, state)))
            super().build()
            return
        self.stack.pop()
        if (
            type(made) is OrderedDict
            and type(state) is dict
            and ({*state} <= {'_metadata'})
        ):
            made.__dict__.update(state)
        elif type(made) is HistoryBuffer:
            made.__setstate__(_history_state(state))
        else:
            raise Refused(
                'it sets the state of an object, which could run code'
            )

    def check_key(self, key: Any) -> None:
        """Refuse keys whose lookup can be slow."""
        if type(key) in (int, float, bool) and abs(key) < LARGEST_KEY:
            self.allowance.number_keys -= 1
            if self.allowance.number_keys < 0:
                raise Refused('it has too many keys that are numbers')
        elif type(key) in (int, float):
            raise Refused('it has a key of a number that is too large or none')
        elif type(key) not in (str, bytes, type(None)):
            raise Refused(
                f'it has a key of type {type(key).__name__}, where '
                'text and numbers are read'
            )

    def stored(self) -> None:
        """Load the storage of a tensor; refuse sizes that the file lacks."""
        claim = self.stack.pop()
        self.budget.spend(CALL_COST)
        is_zip = self.allowance.storages is not None
        if type(claim) is not tuple or len(claim) != (5 if is_zip else 6):
            raise Refused('it has a tensor without numbers')
        kind, storage, key, place, count, *view = claim
        dtype = (
            torch.uint8
            if storage is torch.UntypedStorage
            else getattr(storage, 'dtype', None)
        )
        if not (
            kind == 'storage'
            and type(key) is type(place) is str
            and type(count) is int
            and count >= 0
            and isinstance(dtype, torch.dtype)
            and _is_view(*view)
        ):
            raise Refused('it has a tensor without numbers')
        if place.startswith('meta'):
            raise Refused(
                'it has a tensor on the device meta, without numbers'
            )
        self.claim(key, count * torch._utils._element_size(dtype))
        self.stack.append(self.persistent_load(claim))

    def claim(self, key: str, size: int) -> None:
        """Raise if a storage is larger than its part of the file."""
        allowed = self.allowance
        if allowed.storages is not None:
            left = allowed.storages.get(key, -1)
        else:
            left = allowed.claimed.get(key, allowed.unclaimed)
        if size > left:
            raise Damaged('a tensor of more numbers than the file holds')
        if key not in allowed.claimed:
            allowed.claimed[key] = size
            allowed.unclaimed -= size


CheckpointUnpickler.readers = {
    **PlainPickle.readers,
    # Checkpoints that were written by Python 2.
    pickle.SHORT_BINSTRING[0]: PlainPickle.readers[pickle.SHORT_BINUNICODE[0]],
    pickle.EMPTY_SET[0]: lambda self: self.push(set()),
    pickle.ADDITEMS[0]: CheckpointUnpickler.add_items,
    pickle.NEWOBJ[0]: CheckpointUnpickler.create,
}


def _price(value: Any) -> int:
    """Return an upper bound of the memory made from an argument, in bytes."""
    if isinstance(value, (str, bytes)):
        return len(value)
    return (
        100 * len(value)
        if isinstance(value, (list, tuple, dict, set, bytearray))
        else 0
    )


def _is_view(view: Any = None) -> bool:
    """Return whether this describes a part of a storage in an old format."""
    return view is None or (
        type(view) is tuple
        and len(view) == 3
        and type(view[0]) is str
        and all(
            type(number) is int and 0 <= number < 2**62 for number in view[1:]
        )
    )


def _history_state(state: Any) -> dict:
    """Return the state of a log buffer; refuse all but numbers and methods."""
    if type(state) is not dict or not {*state} <= {
        'max_length',
        '_log_history',
        '_count_history',
        'statistics_methods',
    }:
        raise Refused('it has a log buffer of an unknown form')
    methods = state.get('statistics_methods', {})
    arrays = [state.get('_log_history'), state.get('_count_history')]
    if not (
        type(state.get('max_length')) is int
        and type(methods) is dict
        and {*methods} <= {*METHODS[HistoryBuffer]}
        and all(
            method is getattr(HistoryBuffer, name)
            for name, method in methods.items()
        )
        and all(
            isinstance(array, pickled_numpy.PickledArray) and array.ndim == 1
            for array in arrays
        )
    ):
        raise Refused('it has a log buffer of an unknown form')
    return dict(state)
