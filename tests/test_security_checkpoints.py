"""Hostile checkpoints, given to whatever loads some; see docs/security.md."""

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler import OneCycleParamScheduler

from sge_mmdet.engine import load_local_checkpoint
from sge_mmdet.engine.checkpoints.config_text import harmless_text
from sge_mmdet.engine.checkpoints.refusal import Refused
from tests.helpers.scripts import run_script
from tests.helpers.tiny_run import write_tiny_run

ROOT = Path(__file__).parents[1]
CALL = "a = 1\nb = __import__('os').mkdir({trace!r})\n"
BUILD = "model = dict(type='os.mkdir', path={trace!r})\n"
WARP = (
    "model = dict(type='StrongSORT', cmc=dict("
    "type='CameraMotionCompensation', warp_mode={code!r}))\n"
)


def write_hostile(path, text, trace, place):
    """Write a checkpoint whose config text would make a folder."""
    # Without a dot, at which names are divided.
    code = f'getattr(__import__("os"), "mkdir")({str(trace)!r})'.replace(
        '.', "' + chr(46) + '"
    )
    text = text.replace('{trace!r}', repr(str(trace))).replace(
        '{code!r}', repr(code)
    )
    info = {'cfg': text} if place == 'hub' else {}
    meta = {place: text} if place != 'hub' else {}
    torch.save(
        dict(
            meta=dict(epoch=0, iter=1, **meta),
            state_dict=dict(a=torch.ones(1)),
            message_hub=dict(
                log_scalars={}, runtime_info=info, resumed_keys={}
            ),
            optimizer=dict(state={}, param_groups=[]),
            param_schedulers=[],
        ),
        path,
    )


def run_routes(folder, routes):
    """Take hostile checkpoints through routes in one process."""
    config = write_tiny_run(folder, 'train_cfg = dict(max_iters=2)')
    for route, (text, place) in routes.items():
        write_hostile(
            folder / f'{route}.pth', text, folder / f'{route}.trace', place
        )
    done = subprocess.run(
        [
            sys.executable,
            '-m',
            'tests.helpers.checkpoint_routes',
            config,
            folder,
            *routes,
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        env={
            **os.environ,
            'PYTHONPATH': os.pathsep.join(
                [str(folder), *filter(None, sys.path)]
            ),
        },
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    for route in routes:
        assert not (folder / f'{route}.trace').exists(), (route, said[route])
    return said


@pytest.mark.parametrize(
    'routes',
    [
        ['resume', 'resume_work_dir', 'resume_flexible', 'load_from', 'test'],
        [
            'pretrained',
            'detector',
            'inferencer_of_config',
            'convert',
            'evaluate',
            'visualize',
            'onnx',
        ],
    ],
    ids=['training', 'others'],
)
def test_config_text_in_a_checkpoint_is_executed_by_no_route(tmp_path, routes):
    said = run_routes(tmp_path, {route: (CALL, 'config') for route in routes})
    for route in routes:
        assert 'Refused to load' in said[route], said
        assert 'line 2 of its config is more than data' in said[route]


def test_a_detector_built_of_a_checkpoint_alone_calls_nothing_it_names(
    tmp_path,
):
    (tmp_path / 'evil.py').write_text(
        f'import os\nos.mkdir({str(tmp_path / "inferencer_import.trace")!r})'
    )
    said = run_routes(
        tmp_path,
        dict(
            inferencer=(CALL, 'cfg'),
            inferencer_hub=(CALL, 'hub'),
            inferencer_data=(BUILD, 'cfg'),
            inferencer_import=(
                "custom_imports = dict(imports=['evil'])",
                'cfg',
            ),
            inferencer_warp=(WARP, 'cfg'),
            inferencer_run=(nms_text(tmp_path), 'cfg'),
        ),
    )
    for route in 'inferencer', 'inferencer_hub':
        assert 'line 2 of its config is more than data' in said[route]
    for route in 'inferencer_data', 'inferencer_warp', 'inferencer_run':
        assert "no attribute 'model'" in said[route]


def nms_text(folder):
    """Return a whole config in which the type of a NMS is code."""
    cfg = Config.fromfile(write_tiny_run(folder))
    cfg.model.backbone.init_cfg = None
    cfg.model.test_cfg.rpn.nms.type = '<code>'
    return cfg.pretty_text.replace("'<code>'", '{code!r}')


@pytest.mark.parametrize(
    'text',
    [
        "a = f'{1}'",
        'a = dict(**{})',
        'a = [x for x in y]',
        'import os',
        'def f():\n    pass',
        'a.b = 1',
        'a = b',
        "_base_ = 'x.py'",
        'a = 1; b=1',
        "a = ['{{$N:x', '}}+exit()+{{$M:x', '}}']",
        'a = ' + '-' * 10**5 + '1',
        'a = ' + '[' * 10**5,
        'a = 1 if 2 else 3',
        "a = dict('x')",
        'a = {1}',
        "a = 'x' * 10**9",
        '#' * 10**6,
        "a = b'bytes'",
        'a = [' + '0,' * 10**5 + ']',
        'a = 1\r__import__("os")',
    ],
    ids=lambda text: text[:20],
)
def test_config_text_that_is_more_than_data_is_refused(text):
    with pytest.raises(Refused, match=r'its config') as refused:
        harmless_text(text)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    'name',
    [
        'os.system',
        'subprocess.Popen',
        'torch.hub.load',
        'antigravity',
        'mmengine.fileio.load',
        'mmdet.datasets.RefCocoDataset',
        'antigravity.',
        'mmengine.runner.Runner',
        'mmengine.config.Config.fromfile',
        'nowhere.Model',
        'getattr(0)',
        'eval',
        'os',
        'mmseg.a or f()',
        'Nothing',
    ],
)
def test_types_that_no_registry_holds_are_left_out_of_a_config(name):
    text, left_out = harmless_text(
        f'a = 1\nmodel = dict(\n    neck=[dict(type={name!r})])\nb = 2'
    )
    assert text == 'a = 1\n\n\nb = 2'
    assert left_out == [f'model (line 2: type {name} is not registered)']


@pytest.mark.parametrize(
    'value',
    [
        "warp_mode='f()'",
        "warp_mode='cv2.MOTION_AFFINE or f()'",
        "dtype='float or f()'",
        "resize_type='os.system'",
        "ema_type='os'",
        'trust_remote_code=True',
        "policies=[('os.system', 1)]",
        "tag_list_file='a'",
        "default_scope='antigravity'",
    ],
)
def test_values_that_a_package_evaluates_or_imports_are_left_out(value):
    text, (left_out,) = harmless_text(f'a = 1\nmodel = dict(b=dict({value}))')
    assert text == 'a = 1\n' and left_out.startswith('model (line 2: ')


@pytest.mark.parametrize(
    'text',
    [
        "model = dict(type='mmdet.models.FasterRCNN', neck=dict(type='FPN'))",
        "optimizer = dict(type='torch.optim.sgd.SGD', lr=-1.0e-5)",
        "test_dataloader = dict(dataset=dict(type='CocoDataset', "
        "ann_file='a'))",
        "custom_imports = dict(imports=['sge_mmdet'])",
        "a = dict(b=dict(type='RoIAlign'), nms=dict(type='soft_nms'))",
        "a = dict(type='AmpOptimWrapper', dtype='float16', loss_type='l1')",
        "cmc = dict(warp_mode='cv2.MOTION_EUCLIDEAN')",
        "a = dict(resize_type='Resize', trust_remote_code=False, f='a.json')",
        "a = dict(b=(1, None, [True]), c={'x-y': inf})",
    ],
)
def test_configs_as_mmengine_writes_them_stay_as_they_are(text):
    assert harmless_text(text) == (text, [])


def test_config_of_the_demo_stays_in_its_checkpoint_as_it_is(tmp_path):
    text = Config.fromfile(write_tiny_run(tmp_path)).pretty_text
    torch.save(dict(state_dict={}, meta=dict(cfg=text)), tmp_path / 'a.pth')
    loaded = load_local_checkpoint(tmp_path / 'a.pth')
    assert loaded['meta']['cfg'] == text


def test_config_text_of_before_mmengine_does_not_keep_weights_back(tmp_path):
    path = tmp_path / 'a.pth'
    text = (
        '/a/b.py\n# model\nimport os\nx = 3\nmodel = dict(a=x * 2)\n'
        "b = [f'{i}' for i in range(x)]\n"
    )
    torch.save(dict(state_dict={}, meta=dict(config=text)), path)
    assert load_local_checkpoint(path)['meta'] == {}
    # What MMEngine can resume from, and whose text it therefore executes.
    torch.save(
        dict(state_dict={}, meta=dict(config=text), message_hub={}), path
    )
    with pytest.raises(RuntimeError, match=r'line \d of its config'):
        load_local_checkpoint(path)


@pytest.mark.parametrize(
    'place', ['../precious.pth', '../best_a.pth', 'precious', 'iter_1.pth']
)
def test_a_resumed_training_removes_no_file_that_a_checkpoint_names(
    tmp_path, place
):
    folder = tmp_path / 'work'
    folder.mkdir()
    own = str(folder / 'best_coco_bbox_mAP_iter_2.pth')
    hub = dict(
        log_scalars={},
        resumed_keys={},
        runtime_info=dict(best_ckpt=str(folder / place), best_ckpt_x=own),
    )
    torch.save(dict(state_dict={}, message_hub=hub), folder / 'iter_2.pth')
    loaded = load_local_checkpoint(folder / 'iter_2.pth')
    assert loaded['message_hub']['runtime_info'] == dict(best_ckpt_x=own)


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


@pytest.mark.parametrize('seed', [0, 1, 2])
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


def good(path, **content):
    torch.save(
        dict(dict(state_dict=dict(a=torch.arange(50.0))), **content), path
    )
    return path


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
    path = good(tmp_path / 'a.pth')
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
    path = good(tmp_path / 'a.pth')
    path.write_bytes(without_large_end(path.read_bytes()))
    assert len(load_local_checkpoint(path)['state_dict']['a']) == 50
    path = good(tmp_path / 'modèle 1.2.pth')
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
    history=(lambda: Calls(HistoryBuffer, nested(list), []), 'no function'),
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
        'no tuple of numbers',
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
        'numbers that is none',
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
    containers=(lambda: [set() for _ in range(10**6)], 'ten times'),
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
    path = good(tmp_path / 'a.pth')
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
        load_local_checkpoint(good(tmp_path / 'a.pth'))


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


def test_keys_that_are_no_names_are_shown_with_the_file(tmp_path):
    torch.save(dict(state_dict={7: torch.ones(1)}), tmp_path / 'a.pth')
    with pytest.raises(
        RuntimeError,
        match=r'a\.pth is no checkpoint: its '
        r'state_dict has the key 7 \(int\)',
    ):
        load_local_checkpoint(tmp_path / 'a.pth')


def test_full_disk_while_a_checkpoint_is_saved_ends_in_one_line(
    tmp_path, monkeypatch
):
    def put(self, data, path):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('mmengine.fileio.backends.LocalBackend.put', put)
    config = write_tiny_run(
        tmp_path,
        'train_cfg = dict(max_iters=1)\n'
        'default_hooks["checkpoint"] = dict(interval=1)',
    )
    code, shown = run_script('train.py', config, '--work-dir', tmp_path / 'w')
    assert code == 1
    assert shown.splitlines()[-1].startswith(
        f'error: Cannot write the checkpoint {tmp_path}/w/iter_1.pth: '
        'No space left on device; '
    )
