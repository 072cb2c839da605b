import errno
import os
import re
import resource
import signal
import stat
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from sge_mmdet.utils import (
    RENEWING,
    KeptFileError,
    WriteError,
    Writer,
    new_folder,
    open_to_append,
)
from sge_mmdet.utils.figures import save_figure

ROOT = Path(__file__).parents[2]


@contextmanager
def largest_file(size):
    """Let no file grow beyond so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def killed_while(write):
    """Run a function in a process that is killed at the end of it."""
    child = os.fork()
    if not child:
        try:
            write()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_input_in_the_home_folder_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    file = tmp_path / 'a.pth'
    file.write_text('mine')
    with pytest.raises(KeptFileError, match='is an input'):
        Writer(overwrite=True, inputs=['~/a.pth']).write(file, 'new')
    assert file.read_text() == 'mine'


def test_file_that_is_there_is_kept_or_replaced_as_asked(tmp_path):
    file = tmp_path / 'a.txt'
    file.write_text('mine')
    with pytest.raises(
        KeptFileError,
        match=r'a\.txt is there already; name '
        'another file, or replace it with --overwrite',
    ):
        Writer().write(file, 'new')
    assert file.read_text() == 'mine'
    Writer(overwrite=True).write(file, 'new')
    assert file.read_text() == 'new' and names(tmp_path) == ['a.txt']


def test_file_that_appears_while_another_is_written_is_kept(tmp_path):
    with pytest.raises(KeptFileError, match='is there already'):
        with Writer().replacing(tmp_path / 'a.txt') as file:
            file.write(b'new')
            (tmp_path / 'a.txt').write_text('mine')
    assert (tmp_path / 'a.txt').read_text() == 'mine'
    assert names(tmp_path) == ['a.txt']


def test_file_that_appears_in_the_last_moment_is_kept(tmp_path, monkeypatch):
    link = os.link

    def late(*args):
        (tmp_path / 'a.txt').write_text('mine')
        link(*args)

    monkeypatch.setattr(os, 'link', late)
    with pytest.raises(KeptFileError, match='is there already'):
        Writer().write(tmp_path / 'a.txt', 'new')
    assert (tmp_path / 'a.txt').read_text() == 'mine'


def test_file_systems_without_hard_links_are_written_to(tmp_path, monkeypatch):
    def refuse(*args):
        raise PermissionError(errno.EPERM, 'Operation not permitted')

    monkeypatch.setattr(os, 'link', refuse)
    Writer().write(tmp_path / 'a.txt', 'new')
    assert (tmp_path / 'a.txt').read_text() == 'new'
    assert names(tmp_path) == ['a.txt']


@pytest.mark.parametrize('kind', ['file', 'nothing'])
def test_link_is_replaced_and_not_followed(tmp_path, kind):
    (tmp_path / 'precious').mkdir()
    precious = tmp_path / 'precious' / 'a.txt'
    if kind == 'file':
        precious.write_text('mine')
    file = tmp_path / 'a.txt'
    file.symlink_to(precious)
    for writer in Writer(), RENEWING:
        with pytest.raises(KeptFileError, match='is there already'):
            writer.write(file, 'new')
    Writer(overwrite=True).write(file, 'new')
    assert file.read_text() == 'new' and not file.is_symlink()
    assert precious.exists() == (kind == 'file')
    assert kind == 'nothing' or precious.read_text() == 'mine'


@pytest.mark.parametrize(
    'link',
    [os.link, os.symlink, lambda *args: None],
    ids=['hard link', 'symbolic link', 'same name'],
)
def test_input_is_never_replaced_under_any_name(tmp_path, link):
    source = tmp_path / 'source.json'
    source.write_text('mine')
    target = tmp_path / 'target.json'
    link(source, target)
    target = target if target.exists() else tmp_path / '.' / 'source.json'
    writer = Writer(True, ['torchvision://resnet50', source], True)
    with pytest.raises(KeptFileError, match=r'is an input, .*source\.json'):
        writer.check(target)
    with pytest.raises(KeptFileError, match='which is never replaced'):
        writer.write(target, 'new')
    assert source.read_text() == target.read_text() == 'mine'


def test_own_files_are_renewed_until_somebody_changes_them(tmp_path):
    file = tmp_path / 'a.txt'
    for text in 'one', 'two', 'three':
        RENEWING.write(file, text)
    assert file.read_text() == 'three'
    file.write_text('edited')
    with pytest.raises(
        KeptFileError,
        match='not written by this program or '
        'changed since; name another folder, or replace it with --over',
    ):
        RENEWING.check(file)
    Writer(overwrite=True, renews=True).write(file, 'four')
    RENEWING.write(file, 'five')
    assert file.read_text() == 'five'


def test_own_file_that_gave_way_to_a_link_is_not_renewed(tmp_path):
    RENEWING.write(tmp_path / 'a.txt', 'same')
    (tmp_path / 'a.txt').rename(tmp_path / 'moved.txt')
    (tmp_path / 'a.txt').symlink_to('moved.txt')
    with pytest.raises(KeptFileError, match='is there already'):
        RENEWING.write(tmp_path / 'a.txt', 'new')


@pytest.mark.parametrize('text', ['{', '[]', '{"a": 1}', '[' * 10**5])
def test_wrong_list_of_written_files_is_named(tmp_path, text):
    (tmp_path / '.sge_mmdet.json').write_text(text)
    (tmp_path / 'a.txt').write_text('mine')
    with pytest.raises(
        ValueError, match=r'\.sge_mmdet\.json(: expected| has| is not)'
    ):
        RENEWING.write(tmp_path / 'a.txt', 'new')
    assert (tmp_path / 'a.txt').read_text() == 'mine'


def test_kill_leaves_the_old_file_whole_and_nothing_in_the_way(tmp_path):
    RENEWING.write(tmp_path / 'a.txt', 'old')

    def write():
        with RENEWING.replacing(tmp_path / 'a.txt') as file:
            file.write(b'half')
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    killed_while(write)
    assert (tmp_path / 'a.txt').read_text() == 'old'
    (left,) = tmp_path.glob('.sge_mmdet-*.partial*')
    RENEWING.write(tmp_path / 'a.txt', 'new')
    assert (tmp_path / 'a.txt').read_text() == 'new'
    os.utime(left, (0, 0))
    RENEWING.write(tmp_path / 'a.txt', 'newer')
    assert names(tmp_path) == ['.sge_mmdet.json', 'a.txt']


def test_kill_between_list_and_name_does_not_block_the_next_run(
    tmp_path, monkeypatch
):
    RENEWING.write(tmp_path / 'a.txt', 'old')
    monkeypatch.setattr(
        Writer,
        '_rename',
        lambda self, draft, path: (
            None if path.name == 'a.txt' else os.replace(draft, path)
        ),
    )
    killed_while(lambda: RENEWING.write(tmp_path / 'a.txt', 'new'))
    monkeypatch.undo()
    assert (tmp_path / 'a.txt').read_text() == 'old'
    RENEWING.write(tmp_path / 'a.txt', 'newer')
    assert (tmp_path / 'a.txt').read_text() == 'newer'


def test_drafts_of_programs_that_still_run_are_left_alone(tmp_path):
    with Writer().replacing(tmp_path / 'a.txt') as file:
        file.write(b'slow')
        os.utime(file.name, (0, 0))
        Writer().write(tmp_path / 'b.txt', 'quick')
    assert (tmp_path / 'a.txt').read_text() == 'slow'


@pytest.mark.parametrize('mask, mode', [(0o022, 0o644), (0o077, 0o600)])
def test_modes_are_those_of_any_new_file_or_of_the_old_one(
    tmp_path, mask, mode
):
    before = os.umask(mask)
    try:
        for name in 'ab':
            RENEWING.write(tmp_path / name, 'one')
        (tmp_path / 'b').chmod(0o640)
        RENEWING.write(tmp_path / 'b', 'two')
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / 'a').stat().st_mode) == mode
    assert stat.S_IMODE((tmp_path / 'b').stat().st_mode) == 0o640


def test_full_disk_is_named_and_leaves_nothing(tmp_path):
    picture = Figure((4, 4))
    picture.text(0.1, 0.5, 'a picture', fontsize=50)
    big = dict(weight=torch.ones(100_000))

    def save(path):
        with Writer().replacing(path) as file:
            torch.save(big, file)

    with largest_file(3000):
        for write, name in (
            (save, 'a.pth'),
            (lambda path: save_figure(picture, path), 'a.png'),
            (lambda path: Writer().write(path, 'x' * 9999), 'a.txt'),
        ):
            with pytest.raises(
                WriteError,
                match=f'^cannot write .*/{re.escape(name)}: File too large$',
            ):
                write(tmp_path / name)
        with pytest.raises(WriteError, match=r'write .*/data: File too large'):
            with new_folder(tmp_path / 'data') as folder:
                (folder / 'image.jpg').write_bytes(b'x' * 9999)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    'code, words',
    [
        (errno.ENOSPC, 'No space left on device'),
        (errno.EDQUOT, 'quota exceeded'),
        (errno.EIO, 'Input/output error'),
    ],
)
def test_errors_that_come_with_the_sync_are_named(
    tmp_path, monkeypatch, code, words
):
    def fail(descriptor):
        raise OSError(code, os.strerror(code))

    (tmp_path / 'a.txt').write_text('old')
    monkeypatch.setattr(os, 'fsync', fail)
    with pytest.raises(WriteError, match=f'^cannot write .*/a.txt: .*{words}'):
        Writer(overwrite=True).write(tmp_path / 'a.txt', 'new')
    assert (tmp_path / 'a.txt').read_text() == 'old'
    assert names(tmp_path) == ['a.txt']


@pytest.mark.parametrize(
    'name, words',
    [
        ('file/a.txt', 'Not a directory'),
        ('file/b/a.txt', 'Not a directory'),
        ('folder', 'it is a folder'),
        ('pipe', 'it is a device or a pipe'),
        ('null', 'it is a device or a pipe'),
        ('x' * 300, 'File name too long'),
        ('loop/a.txt', 'Too many levels of symbolic links'),
    ],
)
def test_places_where_no_file_can_be_are_named_before_any_work(
    tmp_path, name, words
):
    (tmp_path / 'file').write_text('mine')
    (tmp_path / 'folder').mkdir()
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'null').symlink_to('/dev/null')
    (tmp_path / 'loop').symlink_to('loop')
    before = names(tmp_path)
    for writer in Writer(), Writer(overwrite=True), RENEWING:
        for act, rest in ((writer.check, ()), (writer.write, ('new',))):
            with pytest.raises(
                WriteError, match=f'cannot write .*{name}: {words}'
            ):
                act(tmp_path / name, *rest)
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    'flags, words',
    [(0, 'Permission denied'), (os.ST_RDONLY, 'Read-only file system')],
)
def test_folder_that_cannot_be_written_is_named_before_any_work(
    tmp_path, monkeypatch, flags, words
):
    # To root, whom tests may run as, everything is allowed.
    real = os.statvfs(tmp_path)
    monkeypatch.setattr(os, 'access', lambda *args: False)
    monkeypatch.setattr(
        os,
        'statvfs',
        lambda path: os.statvfs_result((*real[:8], flags, real[9])),
    )
    with pytest.raises(WriteError, match=f'cannot write .*/a.txt: {words}'):
        Writer().check(tmp_path / 'new' / 'a.txt')


def test_folder_appears_when_it_is_complete_and_over_nothing(tmp_path):
    (tmp_path / 'data').mkdir()
    with new_folder(tmp_path / 'data') as folder:
        (folder / 'a').write_text('one')
        assert names(tmp_path / 'data') == []
    assert names(tmp_path / 'data') == ['a']
    with pytest.raises(WriteError, match='/data: Directory not empty'):
        with new_folder(tmp_path / 'data') as folder:
            (folder / 'b').write_text('two')
    assert names(tmp_path / 'data') == ['a']
    assert names(tmp_path) == ['data']


def test_log_is_appended_to_and_no_link_is_followed(tmp_path):
    for text in b'one', b'two':
        with open_to_append(tmp_path / 'new' / 'log') as file:
            file.write(text)
    assert (tmp_path / 'new' / 'log').read_bytes() == b'onetwo'
    (tmp_path / 'link').symlink_to('mine')
    with pytest.raises(WriteError, match=r'write .*/link: Too many lev'):
        open_to_append(tmp_path / 'link')
    assert not (tmp_path / 'mine').exists()


def test_half_a_letter_does_not_keep_text_from_being_written(tmp_path):
    Writer().write(tmp_path / 'a.txt', 'caf\u00e9 \ud800')
    assert (tmp_path / 'a.txt').read_bytes() == b'caf\xc3\xa9 \\ud800'


# What opens a file to write to it, by name.
DIRECT = re.compile(
    r'\.(write_text|write_bytes|savefig|touch|symlink_to|hardlink_to)\('
    r'|torch\.save\(|json\.dump\(|imwrite\(|np\.save|onnx\.save\('
    r"""|open\([^)\n]*['"][rb]*[wax]"""
    r'|os\.(replace|rename|link)\(|\.(replace|rename)\((draft|path|\w+_dir)'
    r'|shutil\.(copy|move)|makedirs\(|quantize_(dynamic|static)\('
    r'|onnx\.export\('
)
# Each with why it may: it writes to a draft, into memory, or reads.
ALLOWED = {
    'sge_mmdet/utils/files.py': 5,  # This is the one way.
    'sge_mmdet/utils/figures.py': 1,  # Into memory.
    'sge_mmdet/conversion/checkpoint.py': 1,  # A Writer's draft.
    'sge_mmdet/deployment/export.py': 2,  # A Writer's draft.
    'sge_mmdet/deployment/quantization.py': 2,  # A Writer's draft.
    'sge_mmdet/datasets/digits.py': 2,  # The draft of a folder.
    # The cache of downloads, a copy that is temporary, and a message.
    'sge_mmdet/engine/checkpoints/loading.py': 3,
    'sge_mmdet/engine/checkpoints/archive.py': 1,  # A message.
    'sge_mmdet/ops/triton/node.py': 1,  # An empty file, to be locked.
}


def test_nothing_else_in_the_package_writes_files():
    found = {}
    for path in (*ROOT.glob('sge_mmdet/**/*.py'), *ROOT.glob('tools/*.py')):
        lines = [
            line.strip()
            for line in path.read_text().splitlines()
            if DIRECT.search(line)
        ]
        if lines:
            found[path.relative_to(ROOT).as_posix()] = lines
    beyond = {
        path: lines
        for path, lines in found.items()
        if len(lines) > ALLOWED.get(path, 0)
    }
    assert not beyond, 'write with sge_mmdet.utils.Writer'
