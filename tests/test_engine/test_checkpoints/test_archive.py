"""The layout of checkpoint files; see docs/security.md."""

import io
import pickle
import struct
import zipfile

import pytest
import torch

from sge_mmdet.engine import load_local_checkpoint
from tests.helpers.checkpoint_files import save_good
from tests.helpers.hostile_files import (
    needs_weights_only,
    refusals,
    write_bomb,
)


def parts_of(data):
    """Return the start of the directory and of the end records."""
    start = data.index(b'PK\x01\x02')
    return start, data.rindex(b'PK\x06\x06')


def with_two_directories(data):
    """A directory of small parts at the end; that of a compressed archive,
    which the end record points to and PyTorch reads, before it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(
        packed, 'w', zipfile.ZIP_DEFLATED
    ) as target:
        for part in source.infolist():
            target.writestr(part.filename, source.read(part))
        start = target.fp.tell()
    packed = packed.getvalue()
    harmless = bytearray(packed[start:-22])
    place = 0
    while place < len(harmless):
        harmless[place + 10 : place + 12] = b'\0\0'
        harmless[place + 20 : place + 28] = struct.pack('<2L', 1, 1)
        place += 46 + sum(struct.unpack_from('<3H', harmless, place + 28))
    return packed[:-22] + bytes(harmless) + packed[-22:]


def without_large_end(data):
    """As small archives end: without the records of ZIP64."""
    return data[: parts_of(data)[1]] + data[-22:]


def patched(where, new):
    def patch(data):
        place = where(data) if callable(where) else where % len(data)
        return data[:place] + new + data[place + len(new) :]

    return patch


ARCHIVES = dict(
    comment=lambda data: data[:-2] + b'\3\0abc',
    prepended=lambda data: b'PK\x03\x04' + data,
    appended=lambda data: data + b'x',
    second_end=lambda data: data + data[-22:],
    two_directories=with_two_directories,
    short_directory=patched(-10, struct.pack('<L', 40)),
    fewer_entries=patched(-12, struct.pack('<H', 1)),
    large_end_elsewhere=patched(-34, struct.pack('<Q', 0)),
    large_end_disagrees=patched(
        lambda data: parts_of(data)[1] + 48, struct.pack('<Q', 1)
    ),
    method=patched(lambda data: parts_of(data)[0] + 10, b'\x08'),
    size=patched(
        lambda data: parts_of(data)[0] + 20, struct.pack('<2L', 10**9, 10**9)
    ),
    name=patched(lambda data: parts_of(data)[0] + 46, b'A'),
    encrypted=patched(lambda data: parts_of(data)[0] + 8, b'\x01'),
    header_elsewhere=patched(
        lambda data: parts_of(data)[0] + 42, struct.pack('<L', 1)
    ),
)


@pytest.mark.parametrize('change', ARCHIVES.values(), ids=ARCHIVES)
def test_archives_that_readers_could_take_in_two_ways_are_refused(
    tmp_path, change
):
    path = save_good(tmp_path / 'a.pth')
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(
        RuntimeError,
        match=r'(Cannot read|Refused to load) '
        r'.*a\.pth',
    ):
        load_local_checkpoint(path)


def test_archives_as_pytorch_wrote_them_once_and_names_of_all_kinds_load(
    tmp_path,
):
    path = save_good(tmp_path / 'a.pth')
    path.write_bytes(without_large_end(path.read_bytes()))
    assert len(load_local_checkpoint(path)['state_dict']['a']) == 50
    path = save_good(tmp_path / 'modèle 1.2.pth')
    assert len(load_local_checkpoint(path)['state_dict']['a']) == 50


def test_two_parts_of_one_name_are_refused(tmp_path):
    whole = io.BytesIO()
    torch.save(dict(a=torch.ones(1)), whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(
        tmp_path / 'a.pth', 'w'
    ) as target:
        for part in source.infolist():
            target.writestr(part.filename, source.read(part))
        target.writestr('archive/DATA.pkl', b'x')
    with pytest.raises(RuntimeError, match=r'Cannot read .*a\.pth'):
        load_local_checkpoint(tmp_path / 'a.pth')


def test_files_of_other_kinds_are_said_to_be_what_they_are(tmp_path):
    torch.jit.save(
        torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / 'script.pth'
    )
    (tmp_path / 'bare.pth').write_bytes(pickle.dumps(dict(a=1)))
    for name, words in dict(
        script='a TorchScript archive', bare='a bare pickle'
    ).items():
        with pytest.raises(RuntimeError, match=rf'{name}\.pth: it is {words}'):
            load_local_checkpoint(tmp_path / f'{name}.pth')


@needs_weights_only
def test_compressed_checkpoint_is_refused_before_it_is_unpacked(tmp_path):
    write_bomb(tmp_path / 'a.pth')
    write_bomb(tmp_path / 'b.pth', tail=b'PK\x05\x06')
    said = refusals(
        'CheckpointLoader.load_checkpoint(path)',
        tmp_path / 'a.pth',
        tmp_path / 'b.pth',
    )
    assert 'a.pth: it is compressed' in said[0]
    assert 'b.pth' in said[1] and 'damaged' in said[1]
