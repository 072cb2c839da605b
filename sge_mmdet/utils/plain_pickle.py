"""A strict reader for pickles of plain data, with a memory budget.

Python's own unpicklers allocate what a file requests: ten bytes can request
32 GB, and lists that contain each other twice can take forever to hash or to
print. This reader supports only the few opcodes that plain data needs
(protocols 2 to 5), counts the memory of every object against the size of the
file, and calls only the functions that it is given. Results of detectors are
read with it, and checkpoints with a subclass; each has its own list of names
and its own budget.
"""

import pickle
import pickletools
import struct
import sys
from typing import (
    Any,
    Callable,
    ClassVar,
    Dict,
    List,
    Mapping,
    NoReturn,
    Optional,
    Tuple,
    Union,
)

from .text import printable

# Formats of numbers in a pickle.
BYTE, SHORT, UNSIGNED, INTEGER, LENGTH, DOUBLE = map(
    struct.Struct, ('<B', '<H', '<I', '<i', '<Q', '>d')
)
# Largest number of open containers; no pickler of plain data needs more.
MOST_MARKS = 100
# Memory of an object in addition to sys.getsizeof, in bytes.
OVERHEAD = 16
# Memory of a reference to an object that exists, in bytes: on the stack, and
# once more while a container is made of it.
REFERENCE = 18
# Longest line, in bytes; lines are names of modules and attributes.
LONGEST_LINE = 10_000
# Longest key, in characters; longer keys could take long to compare.
LONGEST_KEY = 200
# Upper bound of integer keys. Any number of larger integers can have the same
# hash, so that a dict of them takes quadratic time.
LARGEST_KEY = 2**53


class Refused(pickle.UnpicklingError):
    """Raised for contents that are not allowed; the message describes them."""


class Budget:
    """Memory budget for reading a file.

    A file of a few bytes can request gigabytes, so the size of each object is
    subtracted from the budget. All memory together, with the file itself,
    stays below ten times the size of the file plus 100 MB.

    Args:
        size (int): Size of the file, in bytes.

    Attributes:
        left (int): Memory that is left, in bytes.
    """

    # The budget is FACTOR * size + FREE_BYTES. The file itself and memory that
    # Python does not count are not part of it.
    FACTOR = 8
    FREE_BYTES = 50_000_000

    def __init__(self, size: int) -> None:
        self.left = self.FACTOR * size + self.FREE_BYTES

    def spend(self, amount: int) -> None:
        """Subtract memory from the budget.

        Args:
            amount (int): Size of the memory, in bytes.

        Raises:
            Refused: If the budget is exhausted.
        """
        self.left -= amount
        if self.left < 0:
            raise Refused(
                'it would take more than ten times its size in memory, '
                'because parts of it are repeated or it requests more than '
                'it contains'
            )


class Stateful:
    """Base class of objects whose state a pickle may set."""

    def set_state(self, state: Any) -> None:
        """Set the state, as ``__setstate__`` does for pickle."""
        raise NotImplementedError


class PlainPickle:
    """Reader of consecutive pickles of plain data.

    It builds dicts, lists, tuples, numbers, text and bytes. Keys of dicts are
    text or integers. Subclasses may read further opcodes and build more.

    Args:
        data (bytes or memoryview): Pickles.
        names (Mapping): Objects by the names in the pickles, a module and an
            attribute; those that are functions may be called.
        budget (Budget): Memory budget of the file.
        find_stored (Callable, optional): Function that returns the object of a
            persistent id. Default: None, persistent ids are refused.

    Attributes:
        at (int): Position after the last pickle that was read, in bytes.
    """

    # Reader of each supported opcode; filled at the end of this module.
    readers: ClassVar[Dict[int, Callable[[Any], None]]] = {}
    # Types whose items may be set.
    mappings: ClassVar[Tuple[type, ...]] = (dict,)

    def __init__(
        self,
        data: Union[bytes, memoryview],
        names: Mapping[Tuple[str, str], Any],
        budget: Budget,
        find_stored: Optional[Callable[[Any], Any]] = None,
    ) -> None:
        self.data = data
        self.names = names
        self.budget = budget
        self.find_stored = find_stored
        self.at = 0

    def load(self) -> Any:
        """Return the content of the next pickle.

        Raises:
            Refused: If the pickle contains more than plain data or exceeds
                the budget.
            pickle.UnpicklingError: If it is damaged.
        """
        self.stack: List[Any] = []
        self.marks: List[int] = []
        self.memo: List[Any] = []
        readers = self.readers
        try:
            while True:
                code = self.data[self.at]
                self.at += 1
                if code == pickle.STOP[0]:
                    return self.stack.pop()
                reader = readers.get(code)
                if reader is None:
                    self.refuse_opcode(code)
                reader(self)
        except (IndexError, UnicodeError, struct.error):
            raise pickle.UnpicklingError(
                f'it is damaged or truncated at byte {self.at}'
            ) from None

    def check_protocol(self, protocol: int) -> None:
        """Accept any protocol; its opcodes are checked."""

    def refuse_opcode(self, code: int) -> NoReturn:
        """Refuse an opcode that is not supported, or not in this place."""
        raise Refused(
            f'it holds {_opcode_name(code)}, which plain data does not need'
        )

    def take(self, length: int) -> bytes:
        """Return the next bytes."""
        begin, self.at = self.at, self.at + length
        if self.at > len(self.data):
            raise IndexError
        return bytes(self.data[begin : self.at])

    def number(self, form: struct.Struct) -> Any:
        """Return the next number."""
        (value,) = form.unpack_from(self.data, self.at)
        self.at += form.size
        return value

    def line(self) -> str:
        """Return the next line of text."""
        text = bytes(self.data[self.at : self.at + LONGEST_LINE])
        end = text.find(b'\n')
        if end < 0:
            raise IndexError
        self.at += end + 1
        return text[:end].decode()

    def push(self, value: Any) -> None:
        """Push a new object and subtract its size from the budget."""
        self.budget.spend(sys.getsizeof(value) + OVERHEAD)
        self.stack.append(value)

    def refer(self, value: Any) -> None:
        """Push an object that exists already."""
        self.budget.spend(REFERENCE)
        self.stack.append(value)

    def since_mark(self) -> List[Any]:
        """Pop all objects that were pushed since the last mark."""
        begin = self.marks.pop()
        values = self.stack[begin:]
        del self.stack[begin:]
        return values

    def put(self, index: int) -> None:
        """Store the last object in the memo, under the next number."""
        if index != len(self.memo):
            raise IndexError
        self.budget.spend(8)
        self.memo.append(self.stack[-1])

    def memoize(self) -> None:
        """Store the last object in the memo, under the next number."""
        self.put(len(self.memo))

    def get(self, index: int) -> None:
        """Push an object of the memo."""
        self.refer(self.memo[index])

    def mark(self) -> None:
        """Begin a container."""
        if len(self.marks) == MOST_MARKS:
            raise Refused(
                f'it has more than {MOST_MARKS} containers inside each other'
            )
        self.marks.append(len(self.stack))

    def extend(self, values: List[Any]) -> None:
        """Append values to the list on the stack."""
        target = self.target(list)
        before = sys.getsizeof(target)
        target.extend(values)
        self.budget.spend(sys.getsizeof(target) - before)

    def update(self, keys_and_values: List[Any]) -> None:
        """Add keys and values to the dict on the stack."""
        target = self.target(*self.mappings)
        before = sys.getsizeof(target)
        for key, value in zip(keys_and_values[::2], keys_and_values[1::2]):
            self.check_key(key)
            target[key] = value
        self.budget.spend(sys.getsizeof(target) - before)

    def check_key(self, key: Any) -> None:
        """Refuse keys whose lookup can be slow."""
        if not (type(key) is int and abs(key) < LARGEST_KEY) and not (
            type(key) is str and len(key) <= LONGEST_KEY
        ):
            raise Refused(
                'a key of a dict is neither a whole number below '
                f'{LARGEST_KEY} nor a text of at most {LONGEST_KEY} '
                f'characters: {printable(key, 80)}'
            )

    def target(self, *kinds: type) -> Any:
        """Return the container on the stack, of one of these types."""
        if type(self.stack[-1]) not in kinds:
            raise Refused(
                f'it puts items into a {type(self.stack[-1]).__name__}'
            )
        return self.stack[-1]

    def name(self, module: Any, attribute: Any) -> None:
        """Push the object of a name."""
        if not type(module) is type(attribute) is str:
            raise Refused(
                f'it contains {printable(module, 80)}.'
                f'{printable(attribute, 80)}'
            )
        self.refer(self.find_class(module, attribute))

    def find_class(self, module: str, name: str) -> Any:
        """Return the object of a name; refuse names that are not given.

        It is named as in Python's unpickler, because PyTorch overrides it.
        """
        if (module, name) not in self.names:
            raise Refused(
                f'it contains {printable(module, 80)}.{printable(name, 80)}'
            )
        return self.names[module, name]

    def call(self) -> None:
        """Call a function among the given names."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if not callable(function) or type(arguments) is not tuple:
            raise Refused('it calls an object that is not a function')
        try:
            self.push(function(*arguments))
        except TypeError:
            raise Refused(
                'it calls a function with other arguments than it takes'
            ) from None

    def build(self) -> None:
        """Set the state of a :class:`Stateful` object; refuse others."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], Stateful):
            self.refuse_opcode(pickle.BUILD[0])
        self.stack[-1].set_state(state)

    def stored(self) -> None:
        """Push the object of a persistent id."""
        if self.find_stored is None:
            self.refuse_opcode(pickle.BINPERSID[0])
        self.push(self.find_stored(self.stack.pop()))


def _opcode_name(code: int) -> str:
    known = pickletools.code2op.get(  # type: ignore[attr-defined]
        chr(code)
    )
    return f'the instruction {known.name}' if known else f'byte {code}'


def _last(self: PlainPickle, number: int) -> List[Any]:
    """Pop the last objects of the stack."""
    values = self.stack[-number:]
    if len(values) < number:
        raise IndexError
    del self.stack[-number:]
    return values


def _constant(value: Any) -> Callable[[PlainPickle], None]:
    return lambda self: self.refer(value)


def _number(form: struct.Struct) -> Callable[[PlainPickle], None]:
    return lambda self: self.push(self.number(form))


def _text(form: struct.Struct) -> Callable[[PlainPickle], None]:
    return lambda self: self.push(
        self.take(self.number(form)).decode('utf-8', 'surrogatepass')
    )


def _bytes(form: struct.Struct) -> Callable[[PlainPickle], None]:
    return lambda self: self.push(self.take(self.number(form)))


def _put(form: struct.Struct) -> Callable[[PlainPickle], None]:
    return lambda self: self.put(self.number(form))


def _get(form: struct.Struct) -> Callable[[PlainPickle], None]:
    return lambda self: self.get(self.number(form))


def _tuple(length: int) -> Callable[[PlainPickle], None]:
    return lambda self: self.push(tuple(_last(self, length)))


def _long(self: PlainPickle) -> None:
    self.push(
        int.from_bytes(self.take(self.number(BYTE)), 'little', signed=True)
    )


def _frame(self: PlainPickle) -> None:
    """Check that the data contains a frame as long as its header says."""
    if self.number(LENGTH) > len(self.data) - self.at:
        raise IndexError


def _stack_global(self: PlainPickle) -> None:
    attribute, module = self.stack.pop(), self.stack.pop()
    self.name(module, attribute)


PlainPickle.readers = {
    code[0]: reader
    for code, reader in {
        pickle.PROTO: lambda self: self.check_protocol(self.number(BYTE)),
        pickle.FRAME: _frame,
        pickle.NONE: _constant(None),
        pickle.NEWTRUE: _constant(True),
        pickle.NEWFALSE: _constant(False),
        pickle.EMPTY_TUPLE: _constant(()),
        pickle.BININT: _number(INTEGER),
        pickle.BININT1: _number(BYTE),
        pickle.BININT2: _number(SHORT),
        pickle.LONG1: _long,
        pickle.BINFLOAT: _number(DOUBLE),
        pickle.SHORT_BINUNICODE: _text(BYTE),
        pickle.BINUNICODE: _text(UNSIGNED),
        pickle.BINUNICODE8: _text(LENGTH),
        pickle.SHORT_BINBYTES: _bytes(BYTE),
        pickle.BINBYTES: _bytes(UNSIGNED),
        pickle.BINBYTES8: _bytes(LENGTH),
        pickle.EMPTY_LIST: lambda self: self.push([]),
        pickle.EMPTY_DICT: lambda self: self.push({}),
        pickle.MARK: PlainPickle.mark,
        pickle.TUPLE: lambda self: self.push(tuple(self.since_mark())),
        pickle.TUPLE1: _tuple(1),
        pickle.TUPLE2: _tuple(2),
        pickle.TUPLE3: _tuple(3),
        pickle.APPEND: lambda self: self.extend(_last(self, 1)),
        pickle.APPENDS: lambda self: self.extend(self.since_mark()),
        pickle.SETITEM: lambda self: self.update(_last(self, 2)),
        pickle.SETITEMS: lambda self: self.update(self.since_mark()),
        pickle.MEMOIZE: lambda self: self.memoize(),
        pickle.BINPUT: _put(BYTE),
        pickle.LONG_BINPUT: _put(UNSIGNED),
        pickle.BINGET: _get(BYTE),
        pickle.LONG_BINGET: _get(UNSIGNED),
        pickle.GLOBAL: lambda self: self.name(self.line(), self.line()),
        pickle.STACK_GLOBAL: _stack_global,
        pickle.REDUCE: lambda self: self.call(),
        pickle.BUILD: lambda self: self.build(),
        pickle.BINPERSID: lambda self: self.stored(),
    }.items()
}
