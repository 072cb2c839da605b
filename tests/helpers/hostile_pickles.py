"""Small result pickles that would take gigabytes or for ever."""

import io
import pickle
import struct

import torch


def text_of(text):
    return b'X' + struct.pack('<I', len(text)) + text


def hostile_pickles():
    """Yield small pickles that take gigabytes or for ever, and their end."""
    storage = io.BytesIO()
    torch.save(
        torch.zeros(50).storage(),
        storage,
        _use_new_zipfile_serialization=False,
    )
    storage = (
        b'\x8e'
        + struct.pack('<Q', len(storage.getvalue()))
        + (storage.getvalue())
    )
    load = b'ctorch.storage\n_load_from_bytes\n'
    tensor = b'ctorch._utils\n_rebuild_tensor_v2\n'
    many = 'parts of it are repeated'
    yield many, b'}' * 10**6
    yield many, b'](' + b']' * 10**6 + b'e'
    yield many, b'(' + b'](NNe' * 10**6 + b't'
    # Bytes from the same text, and storages of the same bytes.
    text = text_of(b'a' * 10**6)
    yield (
        many,
        (
            b'(c_codecs\nencode\nq\x00'
            + text
            + text_of(b'latin1')
            + b'\x86q\x01'
            + b'h\x00h\x01R' * 10**5
            + b't'
        ),
    )
    yield (
        many,
        (
            b'('
            + load
            + b'q\x00'
            + storage
            + b'\x85q\x01'
            + b'h\x00h\x01R' * 10**6
            + b't'
        ),
    )
    # Tensors without end of one storage.
    call = b'(' + load + storage + b'\x85RK\x00K\x01\x85K\x01\x85\x89}tq\x01'
    yield (
        many,
        (b'(' + tensor + b'q\x00' + call + b'h\x00h\x01R' * 10**6 + b't'),
    )
    # math.prod of a text repeats it; sizes that are no memory's.
    for size in (
        text + b'J\xff\xff\xff\x7f\x86',
        b'J\xff\xff\xff\xff\x85',
        b'\x8a\xff' + b'\x7f' * 255 + b'\x85',
        b'}\x85',
        b'\x88\x85',
        b'J\xff\xff\xff\x7f' * 3 + b'\x87',
    ):
        yield (
            'it has a tensor',
            (
                tensor
                + b'('
                + load
                + storage
                + b'\x85RK\x00'
                + size
                + b'K\x01\x85\x89}tR'
            ),
        )
    # Behind its end, and before it.
    for place in b'K\x64', b'J\xff\xff\xff\xff':
        yield (
            'it has a tensor',
            (
                tensor
                + b'('
                + load
                + storage
                + b'\x85R'
                + place
                + b'K\x01\x85K\x01\x85\x89}tR'
            ),
        )
    # Tuples and lists of each other, 2^200 in all, as text, key and id.
    tuples = b')q\x00' + b''.join(
        b'h' + bytes([i, ord('h'), i, 0x86, ord('q'), i + 1])
        for i in range(200)
    )
    lists = b']q\x00' + b''.join(
        b'](h' + bytes([i, ord('h'), i, ord('e'), ord('q'), i + 1])
        for i in range(200)
    )
    yield 'a key of a dict', tuples + b'}h\xc8Ns'
    yield 'a key of a dict', b'}' + text + b'Ns'
    for nested in lists, tuples:
        yield (
            'it holds bytes in',
            (nested + b'c_codecs\nencode\n' + text_of(b'') + b'h\xc8\x86R'),
        )
        yield 'it contains', nested + b'h\xc8' + text_of(b'') + b'\x93'
        yield (
            "'img_id' of result 0",
            (
                nested
                + b'](}('
                + text_of(b'pred_instances')
                + b'}'
                + text_of(b'img_id')
                + b'h\xc8ue'
            ),
        )


def shared_masks():
    """Return a pickle of a mask that thousands of images share."""
    mask = dict(size=[24, 32], counts=b'1' * 10**5)
    one = dict(
        bboxes=torch.zeros(1, 4),
        scores=torch.zeros(1),
        labels=torch.zeros(1, dtype=int),
        masks=[mask],
    )
    return pickle.dumps(
        [dict(img_id=i, pred_instances=one) for i in range(10**4)]
    )[2:-1]
