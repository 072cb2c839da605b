"""Contents of checkpoints that are refused or read; see docs/security.md."""

import json
import struct
import subprocess
import sys
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler import OneCycleParamScheduler

from sge_mmdet.engine import load_local_checkpoint
from tests.helpers.checkpoint_files import save_good

ROOT = Path(__file__).parents[3]


LOADS = """
import sys, threading
import numpy as np, torch
torch.serialization.add_safe_globals([
    np._core.multiarray._reconstruct, np.ndarray, np.dtype,
    np._core.multiarray.scalar, type(np.dtype('f8'))])
before = {*torch.serialization.get_safe_globals()}
import sge_mmdet
from sge_mmdet.engine import load_local_checkpoint
before, added = {*torch.serialization.get_safe_globals()}, {
    *torch.serialization.get_safe_globals()} - before
# PyTorch adds parts of its own when these are imported.
assert all(one.__module__.startswith('torch') for one in added), added
def both():
    for _ in range(20):
        theirs = torch.load(sys.argv[1])['array']
        ours = load_local_checkpoint(sys.argv[1])['array']
        assert type(theirs) is np.ndarray, type(theirs)
        assert np.array_equal(theirs, ours)
both()
torch.serialization.clear_safe_globals()
assert load_local_checkpoint(sys.argv[1])['array'][1] == 1
torch.serialization.add_safe_globals([*before])
failed = []
threading.excepthook = failed.append
threads = [threading.Thread(target=both) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failed, failed
assert {*torch.serialization.get_safe_globals()} == before
"""


@pytest.mark.parametrize('seed', [0, 1])
def test_torch_load_elsewhere_in_a_process_is_as_it_was(tmp_path, seed):
    if not hasattr(torch.serialization, 'add_safe_globals'):
        pytest.skip('torch.load has no list of allowed functions')
    torch.save(dict(array=np.arange(3.0)), tmp_path / 'a.pth')
    done = subprocess.run(
        [sys.executable, '-c', LOADS, tmp_path / 'a.pth'],
        text=True,
        capture_output=True,
        env={'PYTHONHASHSEED': str(seed), 'PYTHONPATH': str(ROOT)},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('is_archive', [True, False])
@pytest.mark.parametrize('protocol', [2, 3, 4])
def test_what_mmengine_saves_loads_in_protocols_up_to_4(
    tmp_path, protocol, is_archive
):
    content = dict(
        state_dict=dict(a=torch.arange(5.0)),
        names={'a', 1},
        x=np.arange(3.0),
        counts=Counter(a=2),
        log=HistoryBuffer([1.0, 2.0], [1, 1]),
        data=b'abc',
        number=np.float64(3),
        method=OneCycleParamScheduler._annealing_cos,
    )
    path = tmp_path / 'a.pth'
    torch.save(
        content,
        path,
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=is_archive,
    )
    loaded = load_local_checkpoint(path)
    assert loaded['state_dict']['a'].sum() == 10
    assert loaded['log'].statistics('max') == 2
    assert loaded['x'].tolist() == [0, 1, 2]
    for key in 'names', 'counts', 'data', 'number', 'method':
        assert loaded[key] == content[key]


def test_protocols_above_4_are_said_to_be_what_they_are(tmp_path):
    torch.save(dict(a=1), tmp_path / 'a.pth', pickle_protocol=5)
    with pytest.raises(
        RuntimeError,
        match=r'a\.pth: it is written with '
        r'pickle_protocol=5, and 2 to 4 are read',
    ):
        load_local_checkpoint(tmp_path / 'a.pth')


class Calls:
    """Pickled as a call, and what it is then filled with."""

    def __init__(self, function, *args, state=None):
        self.reduced = function, args, state

    def __reduce__(self):
        return self.reduced


def nested(make, deep=60):
    """A container that holds one twice, which holds one twice, and so on."""
    inner = make()
    for _ in range(deep):
        inner = type(inner)([inner, inner])
    return inner


def log(state):
    return Calls(HistoryBuffer.__new__, HistoryBuffer, state=state)


def repeated():
    """A tensor of one number, which is walked through for gigabytes."""
    return torch.ones(1).expand(5_000_000)


TWICE = 'the same lists again and again'
SMALL_FILES = dict(
    lists=(lambda: nested(list), TWICE),
    tuples=(lambda: nested(tuple), TWICE),
    depth=(lambda: json.loads('[' * 200 + ']' * 200), 'without end'),
    key=(lambda: {nested(tuple, 18): 1}, 'a key of type tuple'),
    member=(lambda: {nested(tuple, 18)}, 'a key of type tuple'),
    counter=(lambda: Counter({nested(tuple, 18): 1}), 'a key of type tuple'),
    encode=(
        lambda: Calls(__import__('_codecs').encode, nested(list), 'x'),
        'bytes',
    ),
    dtype=(lambda: Calls(np.dtype, nested(list)), 'numpy.dtype'),
    dtypes=(lambda: Calls(np.dtype, 'f8,' * 10**5), 'numpy.dtype'),
    getattr=(lambda: Calls(getattr, nested(list), nested(tuple)), 'getattr'),
    history=(
        lambda: Calls(HistoryBuffer, nested(list), []),
        'that checkpoints do not call',
    ),
    bytearray=(lambda: Calls(bytearray, 10**10), 'bytearray'),
    tensor=(lambda: Calls(torch.FloatTensor, 10**9), 'FloatTensor'),
    wide=(lambda: torch.ones(1).expand(10**10), 'ten times'),
    grown=(
        lambda: Calls(
            torch._utils._rebuild_tensor_v2,
            torch.ones(1).storage(),
            0,
            (10**10,),
            (1,),
            False,
            OrderedDict(),
        ),
        'larger than the numbers',
    ),
    words=(
        lambda: Calls(
            torch._utils._rebuild_tensor,
            torch.ones(1).storage(),
            0,
            ('a', 10**9),
            (1, 1),
        ),
        'not a tuple of integers',
    ),
    meta=(lambda: torch.empty(10**12, device='meta'), 'meta_tensor'),
    sparse=(
        lambda: torch.sparse_coo_tensor([[0]], [1.0], (10**12,)),
        'sparse_tensor',
    ),
    set_of_tensor=(lambda: Calls(set, repeated()), 'a set that is not'),
    counter_of_tensor=(lambda: Calls(Counter, repeated()), 'a Counter that'),
    function_of_tensor=(
        lambda: Calls(
            torch._tensor._rebuild_from_type_v2,
            torch._utils._rebuild_tensor_v2,
            torch.Tensor,
            repeated(),
            None,
        ),
        'a kind that is not read',
    ),
    state_of_tensor=(
        lambda: Calls(np.dtype, 'f8', state=repeated()),
        'of its type is not a tuple',
    ),
    hashes=(
        lambda: {i * (2**61 - 1): None for i in range(1, 3_000)},
        'a number that is too large',
    ),
    sizes=(lambda: [torch.Size([1] * 1000)] * 2000, TWICE),
    numbers=(lambda: {i: None for i in range(60_000)}, 'too many keys'),
    shared=(
        lambda: [
            Calls(__import__('_codecs').encode, text, 'latin1')
            for text in ['x' * 10**6]
            for _ in range(10**4)
        ],
        'ten times',
    ),
    containers=(lambda: [set() for _ in range(6 * 10**5)], 'ten times'),
)


@pytest.fixture(scope='module')
def small_files(tmp_path_factory):
    """What small files are refused with; how long and how large it was."""
    folder = tmp_path_factory.mktemp('small')
    sources = [folder / f'{name}.pth' for name in SMALL_FILES]
    for path, (make, _) in zip(sources, SMALL_FILES.values()):
        torch.save(dict(state_dict={}, extra=make()), path)
    done = subprocess.run(
        [
            sys.executable,
            '-c',
            """
import json, re, resource, sys, time
from sge_mmdet.engine import load_local_checkpoint
limit = 3 << 30
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
said = {}
for path in sys.argv[1:]:
    with open('/proc/self/clear_refs', 'w') as file: file.write('5')
    status = lambda: int(re.search(r'VmHWM:\\\\s+(\\\\d+)',
                                   open('/proc/self/status').read())[1])
    before, start = status(), time.perf_counter()
    try: load_local_checkpoint(path); text = 'works'
    except Exception as error: text = f'{type(error).__name__}: {error}'
    said[path] = text, time.perf_counter() - start, status() - before
print(json.dumps(said))
""".replace('\\\\', '\\'),
            *sources,
        ],
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return {
        Path(path).stem: (*said, Path(path).stat().st_size)
        for path, said in json.loads(done.stdout).items()
    }


@pytest.mark.parametrize('name', SMALL_FILES)
def test_small_files_take_little_time_and_memory(small_files, name):
    said, seconds, kilobytes, size = small_files[name]
    assert SMALL_FILES[name][1] in said and f'{name}.pth' in said
    assert 'Refused to load' in said and len(said) < 600
    assert seconds < 10
    assert kilobytes * 1024 < 10 * size + 100e6


def test_older_format_holds_no_larger_tensors_than_its_file(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(
        dict(state_dict=dict(a=torch.ones(10))),
        path,
        _use_new_zipfile_serialization=False,
    )
    assert load_local_checkpoint(path)['state_dict']['a'].sum() == 10
    data = path.read_bytes()
    assert data.count(b'K\nN') == 1
    path.write_bytes(data.replace(b'K\nN', b'J\xff\xff\xff\x3fN'))
    with pytest.raises(RuntimeError, match=r'Cannot read .*a\.pth'):
        load_local_checkpoint(path)


def test_tensors_of_more_numbers_than_a_record_are_refused(tmp_path):
    """PyTorch would read what lies behind it in memory."""
    path = save_good(tmp_path / 'a.pth')
    data = path.read_bytes()
    with zipfile.ZipFile(path) as source:
        pickled = source.read('a/data.pkl')
    assert pickled.count(b'K2t') == 1
    forged = pickled.replace(b'K2t', b'K\xfft')
    data = data.replace(pickled, forged).replace(
        struct.pack('<L', zipfile.crc32(pickled)),
        struct.pack('<L', zipfile.crc32(forged)),
    )
    path.write_bytes(data)
    with pytest.raises(RuntimeError, match=r'Cannot read .*a\.pth'):
        load_local_checkpoint(path)


def test_tensors_that_are_said_to_be_on_meta_are_refused(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(
        torch.serialization, 'location_tag', lambda storage: 'meta'
    )
    with pytest.raises(
        RuntimeError,
        match=r'a\.pth: it has a tensor on the '
        'device meta',
    ):
        load_local_checkpoint(save_good(tmp_path / 'a.pth'))


def test_statistics_of_logs_are_not_exchanged_by_a_checkpoint(tmp_path):
    state = HistoryBuffer([1.0, 2.0], [1, 1]).__getstate__()
    torch.save(
        dict(
            state_dict={},
            log=log(
                dict(state, statistics_methods=dict(min=HistoryBuffer.max))
            ),
        ),
        tmp_path / 'a.pth',
    )
    with pytest.raises(RuntimeError, match=r'Refused to load .*a\.pth'):
        load_local_checkpoint(tmp_path / 'a.pth')
    assert HistoryBuffer([1.0, 2.0], [1, 1]).statistics('min') == 1


def test_keys_that_are_no_names_are_shown_with_the_file(tmp_path):
    torch.save(dict(state_dict={7: torch.ones(1)}), tmp_path / 'a.pth')
    with pytest.raises(
        RuntimeError,
        match=r'a\.pth is not a checkpoint: .* its '
        r'state_dict has the key 7 \(int\)',
    ):
        load_local_checkpoint(tmp_path / 'a.pth')
