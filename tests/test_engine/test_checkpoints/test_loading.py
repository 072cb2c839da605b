import functools
import os
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler import OneCycleParamScheduler
from mmengine.runner import CheckpointLoader, load_checkpoint
from torch import nn

import sge_mmdet  # noqa: F401


class Hostile:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class Reaches:
    """Asks getattr for something when it is unpickled."""

    def __init__(self, cls, name):
        self.args = cls, name

    def __reduce__(self):
        return getattr, self.args


class Calls:
    """Calls a function, and sets the state of what comes of it."""

    def __init__(self, function, *args, state=None):
        self.reduced = (function, args, state)

    def __reduce__(self):
        return self.reduced


def load(path):
    return CheckpointLoader.load_checkpoint(str(path))


def test_what_mmengine_writes_is_loaded(tmp_path):
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    history.update(3.0)
    checkpoint = dict(
        message_hub=dict(
            log_scalars=dict(loss=history),
            runtime_info=dict(best=np.float64(0.5), step=np.int64(7)),
        ),
        param_schedulers=[
            dict(anneal_func=OneCycleParamScheduler._annealing_cos)
        ],
    )
    torch.save(checkpoint, tmp_path / 'iter_1.pth')
    loaded = load(tmp_path / 'iter_1.pth')
    hub = loaded['message_hub']
    assert hub['log_scalars']['loss'].current() == 3
    assert hub['log_scalars']['loss'].mean() == 2
    assert hub['runtime_info'] == dict(best=0.5, step=7)
    anneal = loaded['param_schedulers'][0]['anneal_func']
    assert anneal is OneCycleParamScheduler._annealing_cos


@pytest.mark.parametrize(
    'array',
    [
        np.arange(6.0).reshape(2, 3),
        np.arange(6).reshape(2, 3).T,
        np.array([True, False]),
        np.zeros((0, 2), np.float16),
        np.array(3, '>i4'),
    ],
)
def test_arrays_of_numbers_survive_loading_and_saving_again(tmp_path, array):
    torch.save(dict(array=array), tmp_path / 'a.pth')
    loaded = load(tmp_path / 'a.pth')['array']
    np.testing.assert_array_equal(loaded, array)
    assert loaded.dtype == array.dtype.newbyteorder('=')
    torch.save(dict(array=loaded), tmp_path / 'b.pth')
    again = torch.load(tmp_path / 'b.pth', weights_only=False)['array']
    assert type(again) is np.ndarray


@pytest.mark.parametrize(
    'forged',
    [
        Calls(np.ndarray, (1,), 'O', b'A' * 8),
        Calls(np._core.multiarray.scalar, np.dtype([('a', 'O')]), b'A' * 8),
        np.array([object], dtype=object),
        np.zeros(1, [('a', 'f8')]),
        # A number whose state gives it a field of object pointers.
        Calls(
            np.dtype,
            'f8',
            False,
            True,
            state=(3, '<', None, ('a',), {'a': (np.dtype('O'), 0)}, 8, 8, 0),
        ),
    ],
    ids=['ndarray', 'scalar', 'objects', 'fields', 'forged dtype'],
)
def test_numpy_builds_no_object_pointers_from_bytes(tmp_path, forged):
    torch.save(dict(extra=forged), tmp_path / 'forged.pth')
    try:
        loaded = load(tmp_path / 'forged.pth')['extra']
    except RuntimeError:
        return
    assert loaded.value == np.dtype('f8') and not loaded.value.fields


@pytest.mark.parametrize('zip_format', [True, False])
def test_code_in_a_checkpoint_is_named_and_not_run(tmp_path, zip_format):
    path, trace = tmp_path / 'hostile.pth', tmp_path / 'trace'
    torch.save(
        dict(state_dict={}, extra=Hostile(trace)),
        path,
        _use_new_zipfile_serialization=zip_format,
    )
    with pytest.raises(
        RuntimeError,
        match=r'Refused to load .*hostile.pth: '
        r'it contains posix.mkdir.*Nothing of it was run',
    ):
        load(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    'cls, name',
    [
        (HistoryBuffer, '__init__'),
        (HistoryBuffer, 'register_statistics'),
        (np.ndarray, 'tofile'),
        (torch.Tensor, 'map_'),
    ],
)
def test_getattr_reaches_no_other_function(tmp_path, cls, name):
    torch.save(dict(extra=Reaches(cls, name)), tmp_path / 'reach.pth')
    with pytest.raises(RuntimeError, match=rf'Refused to load .*{name}'):
        load(tmp_path / 'reach.pth')


def test_unknown_class_is_named(tmp_path):
    torch.save(dict(extra=pytest.approx(1)), tmp_path / 'other.pth')
    with pytest.raises(RuntimeError, match=r'contains .*ApproxScalar'):
        load(tmp_path / 'other.pth')


@pytest.mark.parametrize('zip_format', [True, False])
@pytest.mark.parametrize('part', [0.0, 0.1, 0.5, 0.95])
def test_truncated_checkpoint_is_named_with_its_size(
    tmp_path, part, zip_format
):
    path = tmp_path / 'model.pth'
    torch.save(
        dict(state_dict=nn.Linear(300, 300).state_dict()),
        path,
        _use_new_zipfile_serialization=zip_format,
    )
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    model = nn.Linear(300, 300)
    before = model.weight.clone()
    with pytest.raises(
        RuntimeError,
        match=r'Cannot read .*model.pth \(\d+ '
        r'bytes\): it is truncated',
    ):
        load_checkpoint(model, str(path))
    assert torch.equal(model.weight, before)


def test_file_of_another_kind_is_named(tmp_path):
    (tmp_path / 'page.pth').write_text('<html>404 not found</html>')
    with pytest.raises(RuntimeError, match=r'page\.pth.*not a checkpoint'):
        load(tmp_path / 'page.pth')


@pytest.mark.parametrize(
    'content, words',
    [
        ([1], 'its content is of type list'),
        (dict(state_dict=7), 'its state_dict is of type int'),
    ],
)
def test_file_without_weights_is_named(tmp_path, content, words):
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(
        RuntimeError, match=f'pth is not a checkpoint: .* {words}'
    ):
        load(tmp_path / 'a.pth')


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nothing\.pth'):
        load(tmp_path / 'nothing.pth')


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server on this machine; downloads go to a folder of the test."""
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    (tmp_path / 'www').mkdir()
    handler = functools.partial(
        SimpleHTTPRequestHandler, directory=str(tmp_path / 'www')
    )
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield tmp_path / 'www', f'http://127.0.0.1:{running.server_port}'
        running.shutdown()


def test_checkpoint_of_a_url_is_downloaded_once(server):
    folder, url = server
    torch.save(dict(state_dict=dict(a=torch.ones(3))), folder / 'model.pth')
    for _ in range(2):
        assert load(f'{url}/model.pth')['state_dict']['a'].sum() == 3
        (folder / 'model.pth').unlink(missing_ok=True)


def test_code_in_a_downloaded_checkpoint_is_not_run(server, tmp_path):
    folder, url = server
    torch.save(dict(extra=Hostile(tmp_path / 'trace')), folder / 'evil.pth')
    with pytest.raises(RuntimeError, match='Refused to load'):
        load(f'{url}/evil.pth')
    assert not (tmp_path / 'trace').exists()


def test_checkpoints_on_ceph_servers_are_read_as_files_are(
    tmp_path, monkeypatch
):
    class Backend:
        get = staticmethod(
            lambda name: (tmp_path / name.rpartition('/')[2]).read_bytes()
        )

    monkeypatch.setattr(
        'sge_mmdet.engine.checkpoints.loading.get_file_backend',
        lambda name, backend_args: Backend,
    )
    torch.save(dict(state_dict=dict(a=torch.ones(3))), tmp_path / 'good.pth')
    # As MMEngine writes it, which would execute the text.
    torch.save(
        dict(state_dict={}, meta=dict(config='exit()'), message_hub={}),
        tmp_path / 'evil.pth',
    )
    assert load('s3://bucket/good.pth')['state_dict']['a'].sum() == 3
    with pytest.raises(RuntimeError, match=r'Refused to load .*evil\.pth'):
        load('petrel://bucket/evil.pth')
