"""Whole hostile files: result pickles, and checkpoints in both formats."""

import io
import pickle
import struct
import sys
import zipfile
from random import Random
from typing import Any, Dict, Sequence, Tuple

import torch
from torch import Tensor

from .edits import edit_bytes
from .opcodes import Node, Writer, damage
from .trees import Spoiler, Tensors, checkpoint_tree, result_tree

# Of PyTorch's format before version 1.6.
MAGIC_NUMBER, OLD_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def hostile_results(random: Random, marker: str) -> bytes:
    """Return a result pickle with no, few or many hostile things in it.

    Args:
        random (Random): Chooses what is in it, and how it is written.
        marker (str): A path that anything that runs would create.
    """
    tree = result_tree(random, Tensors(random, 'pickle'))
    return _pickled(random, tree, marker, (2, 3, 4, 5))


def hostile_checkpoint(random: Random, marker: str) -> bytes:
    """Return a checkpoint with no, few or many hostile things in it.

    Args:
        random (Random): Chooses what is in it, and how it is written.
        marker (str): A path that anything that runs would create.
    """
    form = random.choice(('zip', 'zip', 'legacy'))
    tensors = Tensors(random, form)
    tree = checkpoint_tree(random, tensors)
    content = _pickled(random, tree, marker, (2,))
    file = (_zip if form == 'zip' else _legacy)(random, content, tensors.kept)
    return edit_bytes(random, file) if random.random() < 0.05 else file


def _pickled(
    random: Random, tree: Node, marker: str, protocols: Sequence[int]
) -> bytes:
    """Return a pickle that is odd in one way or in several, or in none."""
    chance = random.choice((0, 0, 0.002, 0.005, 0.01, 0.1))
    tree = Spoiler(random, chance, marker).spoil(tree)
    oddity = random.choice((0, 0, 0, 0.001, 0.01, 1))
    if random.random() < 0.1:
        protocols = range(6)
    data = Writer(random, random.choice(protocols), oddity).pickle(tree)
    if random.random() < 0.15:
        data = damage(random, data) or data
    return data


def _zip(random: Random, content: bytes, kept: Dict[str, Tensor]) -> bytes:
    """Return an archive as PyTorch writes it, or one that is odd."""
    file = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(file)
    writer.write_record('data.pkl', content, len(content))
    for key, numbers in kept.items():
        raw = _raw(numbers)
        writer.write_record(f'data/{key}', raw, len(raw))
    writer.write_end_of_file()
    whole = file.getvalue()
    return _odd_zip(random, whole) if random.random() < 0.1 else whole


def _odd_zip(random: Random, whole: bytes) -> bytes:
    """Return an archive with parts that are compressed, twice or hidden."""
    how = random.randrange(4)
    if how < 2:
        return (b'#!/bin/sh\n' + whole, whole + b'trailing')[how]
    file = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if how == 2 else zipfile.ZIP_STORED
    with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(
        file, 'w', method
    ) as target:
        for part in source.infolist():
            target.writestr(part.filename, source.read(part))
        if how == 3:
            target.writestr('archive/data/../x', b'x')
            target.comment = b'x' * random.randrange(9)
    return file.getvalue()


def _legacy(random: Random, content: bytes, kept: Dict[str, Tensor]) -> bytes:
    """Return a file of torch before 1.6, at times with a wrong number."""
    system = dict(
        protocol_version=OLD_PROTOCOL,
        little_endian=sys.byteorder == 'little',
        type_sizes=dict(short=2, int=4, long=4),
    )
    head: Tuple[Any, ...] = MAGIC_NUMBER, OLD_PROTOCOL, system
    parts = [pickle.dumps(part, 2) for part in head]
    parts += [content, pickle.dumps(list(kept), 2)]
    for numbers in kept.values():
        count = numbers.numel()
        if random.random() < 0.01:
            count = random.choice((0, count + 1, 2**40, -1))
        parts.append(struct.pack('<q', count) + _raw(numbers))
    return b''.join(parts)


def _raw(numbers: Tensor) -> bytes:
    return numbers.view(torch.uint8).numpy().tobytes()
