"""Pickles written in any of the ways that the format allows.

Python's own pickler writes each thing in one way. This one chooses among all
instructions of protocols 0 to 5 that stand for it, puts anything into the
memo, and writes calls and states that no object would ask for.
"""

import pickle
import pickletools
import struct
from random import Random
from typing import Any, Callable, Dict, List, NamedTuple, Optional

Node = Any
# Bytes; what is longer is written without detours.
SHORT = 100_000


class Name(NamedTuple):
    """A module and what it is asked for."""

    module: Node
    attribute: Node


class Call(NamedTuple):
    """A call of a function or a class.

    Attributes:
        function: A :class:`Name`, or anything else.
        arguments: A tuple, or anything else.
        how: "reduce", "newobj", "newobj_ex", "obj" or "inst".
    """

    function: Node
    arguments: Node
    how: str = 'reduce'


class State(NamedTuple):
    """An object that is given a state."""

    made: Node
    state: Node


class Stored(NamedTuple):
    """What a persistent id stands for."""

    identity: Node


class Raw(NamedTuple):
    """Instructions as they are, which may do anything."""

    code: bytes


class Writer:
    """Writes one pickle.

    Args:
        random (Random): Chooses the instructions.
        protocol (int): 0 to 5, of which and before which they are.
        oddity (float): How often to write otherwise than Python's pickler
            does, from 0 to 1.
    """

    def __init__(self, random: Random, protocol: int, oddity: float) -> None:
        self.random = random
        self.protocol = protocol
        self.oddity = oddity
        self.out = bytearray()
        self.memo: Dict[int, int] = {}
        # As long as the memo knows nodes by their id, they have to live.
        self.nodes: List[Node] = []

    def pickle(self, root: Node) -> bytes:
        """Return a whole pickle.

        Args:
            root (Any): Containers, numbers, text and the nodes above.
        """
        if self.protocol >= 2:
            self.out += pickle.PROTO + bytes([self.protocol])
        if self.protocol >= 4 and self.maybe(0.3):
            self.out += pickle.FRAME + struct.pack('<Q', 1 << 40)
        self.write(root)
        return bytes(self.out + pickle.STOP)

    def maybe(self, chance: float) -> bool:
        """Return whether to do something unusual, while it is short."""
        return len(self.out) < SHORT and (
            self.random.random() < chance * self.oddity
        )

    def write(self, node: Node) -> None:
        """Write a node, which leaves one object on the stack."""
        if self.maybe(0.01):
            self.out += self.random.choice(NOISE)
        at = self.memo.get(id(node))
        if at is not None and not self.maybe(0.02):
            self.get(at)
            return
        WRITERS[type(node)](self, node)
        if type(node) not in (list, dict, bool, type(None)):
            self.note(node)

    def note(self, node: Node) -> None:
        """Put the object on the stack into the memo, if one may ask for it."""
        can_repeat = type(node) not in (int, float, Raw) or (
            len(self.out) > SHORT
        )
        if can_repeat == self.maybe(0.3):
            return
        at = len(self.nodes)
        if self.maybe(0.005):
            at = self.random.choice((255, 2**20, 2**31, 2**32 - 1))
        self.nodes.append(node)
        self.memo[id(node)] = at
        if self.protocol >= 4 and at == len(self.nodes) - 1:
            self.out += pickle.MEMOIZE
        elif self.protocol == 0:
            self.out += b'p%d\n' % at
        elif at < 256:
            self.out += pickle.BINPUT + bytes([at])
        else:
            self.out += pickle.LONG_BINPUT + struct.pack('<I', at)

    def get(self, at: int) -> None:
        """Take an object out of the memo."""
        forms = [b'g%d\n' % at]
        if self.protocol >= 1:
            forms.append(pickle.LONG_BINGET + struct.pack('<I', at))
            if at < 256:
                forms.append(pickle.BINGET + bytes([at]))
        self.out += self.random.choice(forms) if self.maybe(1) else forms[-1]

    def choose(self, *forms: 'tuple[int, bool, Callable[[], bytes]]') -> None:
        """Write one of the forms that the protocol has and a value fits.

        Args:
            *forms: The protocol of each, whether it fits, and the form; what
                the pickler would write goes last.
        """
        able = [
            form
            for protocol, fits, form in forms
            if fits and protocol <= self.protocol
        ]
        form = self.random.choice(able) if self.maybe(1) else able[-1]
        self.out += form()

    def fill(self, node: Node, one: bytes, many: bytes, step: int = 1) -> None:
        """Write what a container holds."""
        parts = (
            list(node)
            if step == 1
            else [part for item in node.items() for part in item]
        )
        if self.protocol == 0 or self.maybe(0.2):
            for i in range(0, len(parts), step):
                for part in parts[i : i + step]:
                    self.write(part)
                self.out += one
        elif parts:
            self.out += pickle.MARK
            for part in parts:
                self.write(part)
            self.out += many


NOISE = (
    b'N0',
    b'(1',
    b'(NN1',
    b'}0',
    b'\x80\x02',
    b'\x80\x05',
    b'\x95' + bytes(8),
    b'K\x0020',
    b']N\x61\x30',
    b'I01\n0',
    b'\x97\x30',
    b'\x97\x98\x30',
    b'Pid\n0',
    b'\x82\x01',
    b'\x83\x01\x00',
    b'\x84\x01\x00\x00\x00',
    b'\x8f(K\x01\x90\x30',
    b'(K\x01\x91\x30',
)


def _int(writer: Writer, value: int) -> None:
    raw = value.to_bytes(value.bit_length() // 8 + 1, 'little', signed=True)
    writer.choose(
        (0, True, lambda: b'I%d\n' % value),
        (0, True, lambda: b'L%dL\n' % value),
        (2, True, lambda: pickle.LONG4 + struct.pack('<i', len(raw)) + raw),
        (2, len(raw) < 256, lambda: pickle.LONG1 + bytes([len(raw)]) + raw),
        (
            1,
            -(2**31) <= value < 2**31,
            lambda: pickle.BININT + struct.pack('<i', value),
        ),
        (
            1,
            0 <= value < 2**16,
            lambda: pickle.BININT2 + struct.pack('<H', value),
        ),
        (1, 0 <= value < 2**8, lambda: pickle.BININT1 + bytes([value])),
    )


def _float(writer: Writer, value: float) -> None:
    writer.choose(
        (0, True, lambda: b'F%r\n' % value),
        (1, True, lambda: pickle.BINFLOAT + struct.pack('>d', value)),
    )


def _bool(writer: Writer, value: bool) -> None:
    writer.choose(
        (0, True, lambda: b'I0%d\n' % value),
        (2, True, lambda: (pickle.NEWFALSE, pickle.NEWTRUE)[value]),
    )


def _text(writer: Writer, value: str) -> None:
    raw = value.encode('utf-8', 'surrogatepass')
    is_plain = value.isascii() and value.isprintable() and "'" not in value
    writer.choose(
        (0, is_plain and writer.maybe(0.1), lambda: b"S'%s'\n" % raw),
        (
            1,
            is_plain and len(raw) < 256 and writer.maybe(0.1),
            lambda: pickle.SHORT_BINSTRING + bytes([len(raw)]) + raw,
        ),
        (
            1,
            is_plain and writer.maybe(0.1),
            lambda: pickle.BINSTRING + struct.pack('<i', len(raw)) + raw,
        ),
        (0, True, lambda: b'V%s\n' % _escaped(value)),
        (
            4,
            True,
            lambda: pickle.BINUNICODE8 + struct.pack('<Q', len(raw)) + raw,
        ),
        (
            1,
            True,
            lambda: pickle.BINUNICODE + struct.pack('<I', len(raw)) + raw,
        ),
        (
            4,
            len(raw) < 256,
            lambda: pickle.SHORT_BINUNICODE + bytes([len(raw)]) + raw,
        ),
    )


def _escaped(value: str) -> bytes:
    return (
        value.replace('\\', '\\u005c')
        .replace('\n', '\\u000a')
        .replace('\0', '\\u0000')
        .replace('\r', '\\u000d')
        .replace('\x1a', '\\u001a')
        .encode('raw-unicode-escape')
    )


def _bytes(writer: Writer, value: bytes) -> None:
    if writer.protocol < 3:
        writer.write(
            Call(Name('_codecs', 'encode'), (value.decode('latin1'), 'latin1'))
        )
        return
    size = len(value)
    writer.choose(
        (
            5,
            writer.maybe(0.1),
            lambda: b'\x96' + struct.pack('<Q', size) + value,
        ),
        (4, True, lambda: pickle.BINBYTES8 + struct.pack('<Q', size) + value),
        (3, True, lambda: pickle.BINBYTES + struct.pack('<I', size) + value),
        (3, size < 256, lambda: pickle.SHORT_BINBYTES + bytes([size]) + value),
    )


def _list(writer: Writer, value: list) -> None:
    if writer.protocol == 0 or writer.maybe(0.1):
        # One that holds itself is in the memo before it is filled.
        writer.out += pickle.MARK + pickle.LIST
    else:
        writer.out += pickle.EMPTY_LIST
    writer.note(value)
    writer.fill(value, pickle.APPEND, pickle.APPENDS)


def _dict(writer: Writer, value: dict) -> None:
    if writer.protocol == 0 or writer.maybe(0.1):
        writer.out += pickle.MARK + pickle.DICT
    else:
        writer.out += pickle.EMPTY_DICT
    writer.note(value)
    writer.fill(value, pickle.SETITEM, pickle.SETITEMS, step=2)


def _tuple(writer: Writer, value: tuple) -> None:
    short = {
        0: pickle.EMPTY_TUPLE,
        1: pickle.TUPLE1,
        2: pickle.TUPLE2,
        3: pickle.TUPLE3,
    }.get(len(value))
    is_short = short and writer.protocol >= 2 and not writer.maybe(0.2)
    if not is_short:
        writer.out += pickle.MARK
    for part in value:
        writer.write(part)
    writer.out += short if is_short else pickle.TUPLE


def _set(writer: Writer, value: frozenset) -> None:
    if writer.protocol < 4:
        writer.write(Call(Name('builtins', 'set'), (list(value),)))
        return
    is_frozen = writer.random.random() < 0.5
    writer.out += b'' if is_frozen else pickle.EMPTY_SET
    writer.out += pickle.MARK
    for part in value:
        writer.write(part)
    writer.out += pickle.FROZENSET if is_frozen else pickle.ADDITEMS


def _name(writer: Writer, name: Name) -> None:
    are_texts = type(name.module) is type(name.attribute) is str
    if are_texts and (writer.protocol < 4 or writer.maybe(0.3)):
        writer.out += b'c%s\n%s\n' % tuple(
            part.replace('\n', '').encode('utf-8', 'surrogatepass')
            for part in name
        )
    else:
        writer.write(name.module)
        writer.write(name.attribute)
        writer.out += pickle.STACK_GLOBAL


def _call(writer: Writer, call: Call) -> None:
    how = call.how
    if how in ('obj', 'inst'):
        writer.out += pickle.MARK
        if how == 'obj' or type(call.function) is not Name:
            writer.write(call.function)
        for part in call.arguments if type(call.arguments) is tuple else ():
            writer.write(part)
        if how == 'inst' and type(call.function) is Name:
            writer.out += b'i%s\n%s\n' % tuple(
                str(part).encode('utf-8', 'replace') for part in call.function
            )
        else:
            writer.out += pickle.OBJ
        return
    writer.write(call.function)
    writer.write(call.arguments)
    if how == 'newobj_ex':
        writer.write({})
    writer.out += {
        'reduce': pickle.REDUCE,
        'newobj': pickle.NEWOBJ,
        'newobj_ex': pickle.NEWOBJ_EX,
    }[how]


def _state(writer: Writer, node: State) -> None:
    writer.write(node.made)
    writer.write(node.state)
    writer.out += pickle.BUILD


def _stored(writer: Writer, node: Stored) -> None:
    writer.write(node.identity)
    writer.out += pickle.BINPERSID


def _none(writer: Writer, node: None) -> None:
    writer.out += pickle.NONE


def _raw(writer: Writer, node: Raw) -> None:
    writer.out += node.code


# Of each type of node; what it leaves on the stack stands for that.
WRITERS: Dict[type, Callable[[Writer, Any], None]] = {
    int: _int,
    float: _float,
    bool: _bool,
    str: _text,
    bytes: _bytes,
    list: _list,
    dict: _dict,
    tuple: _tuple,
    frozenset: _set,
    Name: _name,
    Call: _call,
    State: _state,
    Stored: _stored,
    type(None): _none,
    Raw: _raw,
}


def damage(random: Random, data: bytes) -> Optional[bytes]:
    """Return a pickle with an instruction lost, twice, moved or changed.

    Args:
        random (Random): Chooses what happens.
        data (bytes): The pickle.

    Returns:
        bytes or None: None where the pickle cannot be taken apart.
    """
    try:
        places = [at for _, _, at in pickletools.genops(data)]
    except Exception:
        return None
    parts = [
        data[begin:end] for begin, end in zip(places, [*places[1:], len(data)])
    ]
    at, other = (random.randrange(len(parts)) for _ in range(2))
    code = random.choice(pickletools.opcodes).code.encode('latin1')
    how = random.randrange(5)
    if how == 0:
        del parts[at]
    elif how == 1:
        parts.insert(other, parts[at])
    elif how == 2:
        parts[at], parts[other] = parts[other], parts[at]
    elif how == 3:
        parts[at] = code + parts[at][1:]
    else:
        parts.insert(at, code)
    return b''.join(parts)
