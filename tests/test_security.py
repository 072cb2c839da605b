"""Hostile files, given to whatever loads files; see docs/security.md."""

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
import torch
from matplotlib.image import imsave
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as upstream
from PIL import Image
from pycocotools import mask as mask_utils

import sge_mmdet  # noqa: F401
from sge_mmdet.evaluation import read_ground_truth
from sge_mmdet.evaluation.bins import ALL_SIZES
from sge_mmdet.evaluation.checked_detections import make_detections
from sge_mmdet.evaluation.engines import evaluate
from sge_mmdet.evaluation.matching import match
from sge_mmdet.evaluation.result_files import read_detections
from sge_mmdet.evaluation.result_json import detections_from_coco
from sge_mmdet.utils import json_files, load_json
from sge_mmdet.visualization.images import read_image
from tests.helpers.hostile_pickles import hostile_pickles, shared_masks
from tests.helpers.scripts import TOOLS, run_script

if not hasattr(torch.serialization, 'get_unsafe_globals_in_checkpoint'):
    pytest.skip(
        'weights_only is off by default before torch 2.6',
        allow_module_level=True,
    )

DEMO = TOOLS.parent / 'configs/demo/faster-rcnn_r18-sge_fpn_400i_digits.py'
SIZE = 24, 32


class Hostile:
    """Creates a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def trace(tmp_path):
    """A path that hostile files would create; the test fails if one did."""
    yield tmp_path / 'trace'
    assert not (tmp_path / 'trace').exists()


@pytest.fixture
def hostile(tmp_path, trace):
    torch.save(
        dict(state_dict={}, extra=Hostile(trace)), tmp_path / 'hostile.pth'
    )
    return tmp_path / 'hostile.pth'


@pytest.fixture
def digits(tmp_path):
    """Folders and files that the demo's config needs."""
    data = tmp_path / 'digits'
    for split in ('train', 'val'):
        (data / split).mkdir(parents=True)
        imsave(data / split / '0.png', np.zeros((*SIZE, 3)))
        (data / 'annotations').mkdir(exist_ok=True)
        (data / f'annotations/{split}.json').write_text(
            json.dumps(
                ground_truth(
                    categories=[dict(id=i, name=str(i)) for i in range(10)],
                    annotations=[],
                )
            )
        )
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = {str(DEMO)!r}\n'
        f'data = dict(dataset=dict(data_root={f"{data}/"!r}))\n'
        'train_dataloader = data\nval_dataloader = data\n'
        'test_dataloader = dict(num_workers=0, persistent_workers=False, '
        '**data)\n'
        f'test_evaluator = dict(ann_file={f"{data}/annotations/val.json"!r})'
    )
    return config


def ground_truth(**changes):
    return dict(
        dict(
            images=[
                dict(id=1, height=SIZE[0], width=SIZE[1], file_name='0.png')
            ],
            categories=[dict(id=1, name='cat')],
            annotations=[
                dict(
                    id=1,
                    image_id=1,
                    category_id=1,
                    iscrowd=0,
                    bbox=[1, 1, 9, 9],
                    area=81,
                    segmentation=[[1, 1, 9, 1, 9, 9]],
                )
            ],
        ),
        **changes,
    )


def annotated(**changes):
    data = ground_truth()
    data['annotations'][0].update(changes)
    return data


def result(**changes):
    return [
        dict(
            dict(image_id=1, category_id=1, bbox=[1, 1, 9, 9], score=0.5),
            **changes,
        )
    ]


@pytest.mark.parametrize(
    'command',
    [
        lambda config, path: (
            'convert_checkpoint.py',
            path,
            '-o',
            path.parent / 'out.pth',
        ),
        lambda config, path: (
            'evaluate.py',
            config,
            path,
            '--out-dir',
            path.parent / 'out',
        ),
        lambda config, path: (
            'visualize_sge.py',
            config,
            path,
            path.parent / 'digits/val/0.png',
            '--out-dir',
            path.parent / 'out',
        ),
    ],
    ids=['convert', 'evaluate', 'visualize'],
)
def test_tools_name_code_in_a_checkpoint_and_do_not_run_it(
    hostile, digits, command
):
    code, shown = run_script(*command(digits, hostile))
    last = shown.strip().splitlines()[-1]
    assert code == 1 and last.startswith('error: Refused to load ')
    assert 'hostile.pth: it contains posix.mkdir' in last


def test_weights_of_another_model_are_refused(digits, tmp_path):
    torch.save(
        dict(state_dict={'module.a': torch.ones(2)}), tmp_path / 'a.pth'
    )
    code, shown = run_script('evaluate.py', digits, tmp_path / 'a.pth')
    assert code == 1 and shown.splitlines()[-1].endswith(
        'a.pth has no weight of the FasterRCNN of the config; it has a'
    )


@pytest.mark.parametrize(
    'scheme, table',
    [
        ('torchvision', 'get_torchvision_models'),
        ('modelzoo', 'get_torchvision_models'),
        ('open-mmlab', 'get_external_models'),
        ('openmmlab', 'get_external_models'),
        ('mmcls', 'get_mmcls_models'),
    ],
)
@pytest.mark.parametrize('is_local', [False, True])
def test_nicknamed_checkpoints_run_no_code(
    monkeypatch, hostile, scheme, table, is_local
):
    place = str(hostile) if is_local else 'https://nowhere.invalid/hostile.pth'
    monkeypatch.setattr(upstream, table, lambda: dict(model=place))
    (hostile.parent / 'checkpoints').mkdir()
    hostile.with_name('checkpoints').joinpath('hostile.pth').write_bytes(
        hostile.read_bytes()
    )
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(hostile.parent))
    with pytest.raises(RuntimeError, match=r'it contains posix\.mkdir'):
        CheckpointLoader.load_checkpoint(f'{scheme}://model')


def test_unknown_nickname_is_named_with_what_is_near():
    with pytest.raises(
        ValueError,
        match=r'no checkpoint open-mmlab://resnet5'
        r'.* there is .*resne',
    ):
        CheckpointLoader.load_checkpoint('open-mmlab://resnet5')


def test_nicknames_without_code_are_loaded(monkeypatch, tmp_path):
    torch.save(
        dict(state_dict={'backbone.a': torch.ones(2)}), tmp_path / 'good.pth'
    )
    monkeypatch.setattr(
        upstream,
        'get_mmcls_models',
        lambda: dict(model=str(tmp_path / 'good.pth')),
    )
    loaded = CheckpointLoader.load_checkpoint('mmcls://model')
    assert loaded['state_dict'].keys() == {'a'}


def bomb(path, megabytes=64, tail=b''):
    """Write a checkpoint of a few kilobytes that unpacks to megabytes."""
    whole = io.BytesIO()
    torch.save(dict(state_dict=dict(a=torch.zeros(megabytes << 18))), whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(
        path, 'w', zipfile.ZIP_DEFLATED
    ) as target:
        for part in source.infolist():
            target.writestr(part.filename, source.read(part))
    with path.open('ab') as file:
        file.write(tail)
    assert path.stat().st_size < megabytes << 14


# In KiB. That of getrusage begins with the peak of the parent.
PEAK = """
def peak():
    with open('/proc/self/status') as status:
        return int(re.search(r'VmHWM:\\s+(\\d+)', status.read())[1])
"""


def refusals(call, *paths, most=32, seconds=60):
    """Return what calls on paths, in a new process, are refused with.

    It fails if the process took more than ``most`` MiB for them, or one of
    them more than some seconds.
    """
    done = subprocess.run(
        [
            sys.executable,
            '-c',
            f"""
import json, re, time
from mmengine.runner import CheckpointLoader
import sge_mmdet
from sge_mmdet.evaluation.bins import size_bins
from sge_mmdet.evaluation import resample_figures
from sge_mmdet.evaluation.engines import evaluate
from sge_mmdet.evaluation import read_ground_truth
from sge_mmdet.evaluation.result_json import detections_from_coco
from sge_mmdet.evaluation.result_files import read_detections
from sge_mmdet.visualization.images import read_image
truth = read_ground_truth({ground_truth()!r})
{PEAK}
before = peak()
said = []
for path in {[str(path) for path in paths]!r}:
    begin = time.monotonic()
    try:
        {call}
    except (RuntimeError, ValueError) as error:
        said.append(str(error))
    assert time.monotonic() - begin < {seconds}, path
print(json.dumps(said))
assert peak() - before < {most} * 1024, f'{{peak() - before}} KiB more'
""",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert len(said) == len(paths)
    return said


def test_compressed_checkpoint_is_refused_before_it_is_unpacked(tmp_path):
    bomb(tmp_path / 'a.pth')
    bomb(tmp_path / 'b.pth', tail=b'PK\x05\x06')
    said = refusals(
        'CheckpointLoader.load_checkpoint(path)',
        tmp_path / 'a.pth',
        tmp_path / 'b.pth',
    )
    assert 'a.pth: it is compressed' in said[0]
    assert 'b.pth' in said[1] and 'damaged' in said[1]


def write_results(path, scores):
    path.write_bytes(
        pickle.dumps(
            [
                dict(
                    img_id=1,
                    pred_instances=dict(
                        bboxes=torch.zeros(1, 4),
                        scores=scores,
                        labels=torch.zeros(1, dtype=int),
                    ),
                )
            ]
        )
    )


class Reduced:
    """Pickled as a call."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


def write_growing_pickles(tmp_path):
    """Write pickles that grow in memory; return what each is refused with."""
    load = torch.storage._load_from_bytes
    bomb(tmp_path / 'bomb.pth', 256)
    write_results(
        tmp_path / 'zip.pkl',
        Reduced(load, (tmp_path.joinpath('bomb.pth').read_bytes(),)),
    )
    wide = io.BytesIO()
    torch.save(
        torch.zeros(1).expand(10**9),
        wide,
        _use_new_zipfile_serialization=False,
    )
    write_results(tmp_path / 'wide.pkl', Reduced(load, (wide.getvalue(),)))
    (tmp_path / 'bytes.pkl').write_bytes(
        b'\x80\x05\x96' + struct.pack('<Q', 3 * 10**9) + b'.'
    )
    write_results(
        tmp_path / 'state.pkl',
        Reduced(
            torch._utils._rebuild_tensor_v2,
            (torch.zeros(1).storage(), 0, (1,), (1,), False, {}),
            {'a': 1},
        ),
    )
    one = dict(
        img_id=1,
        pred_instances=dict(
            bboxes=torch.zeros(10**4, 4),
            scores=torch.zeros(10**4),
            labels=torch.zeros(10**4, dtype=int),
            masks=[None] * 10**4,
        ),
    )
    (tmp_path / 'twice.pkl').write_bytes(pickle.dumps([one] * 1000))
    (tmp_path / 'shared.pkl').write_bytes(
        pickle.dumps([dict(one, img_id=i) for i in range(1000)])
    )
    return {
        'zip.pkl': 'a storage in another format',
        'bytes.pkl': 'the instruction BYTEARRAY8',
        'wide.pkl': 'it contains torch._utils._rebuild_tensor_v2',
        'state.pkl': 'the instruction BUILD',
        'twice.pkl': 'an image occurs twice',
        'shared.pkl': 'the same detections occur many times',
    }


def test_small_pickles_take_neither_gigabytes_nor_for_ever(tmp_path):
    cases = write_growing_pickles(tmp_path)
    for i, (words, content) in enumerate(
        [
            *hostile_pickles(),
            ('the same masks occur many times', shared_masks()),
        ]
    ):
        (tmp_path / f'{i}.pkl').write_bytes(b'\x80\x04' + content + b'.')
        cases[f'{i}.pkl'] = words
    said = refusals(
        'read_detections(path, truth, "segm")',
        *(tmp_path / name for name in cases),
        most=100,
        seconds=10,
    )
    for (name, words), text in zip(cases.items(), said):
        assert f'/{name} ' in text and words in text and len(text) < 600


def test_images_of_absurd_size_are_refused(tmp_path):
    Image.new('1', (16000, 16000)).save(tmp_path / 'bomb.png')
    (said,) = refusals('read_image(path, "bomb.png")', tmp_path)
    assert 'decompression bomb' in said


def test_result_pickle_runs_no_code_in_the_tools(tmp_path, trace):
    (tmp_path / 'truth.json').write_text(json.dumps(ground_truth()))
    (tmp_path / 'r.pkl').write_bytes(pickle.dumps([Hostile(trace)]))
    for command in (
        ('evaluate.py', tmp_path / 'truth.json', tmp_path / 'r.pkl'),
        (
            'compare.py',
            tmp_path / 'r.pkl',
            tmp_path / 'r.pkl',
            '--ground-truth',
            tmp_path / 'truth.json',
        ),
    ):
        code, shown = run_script(*command)
        assert code == 1 and 'nothing of it was run: it contains' in shown


def test_result_pickle_takes_no_more_memory_than_it_holds(tmp_path):
    """Ten bytes would make C's unpickler fill 32 GB; a tensor, 4 TB."""
    (tmp_path / 'memo.pkl').write_bytes(
        b'\x80\x04]r' + struct.pack('<I', 2**31) + b'.'
    )
    with pytest.raises(ValueError, match=r'memo\.pkl .* damaged'):
        read_detections(
            tmp_path / 'memo.pkl', read_ground_truth(ground_truth())
        )
    huge = torch.zeros(1).expand(10**12)
    (tmp_path / 'wide.pkl').write_bytes(
        pickle.dumps(
            [
                dict(
                    img_id=1,
                    pred_instances=dict(
                        bboxes=torch.zeros(1, 4), scores=huge, labels=huge
                    ),
                )
            ]
        )
    )
    with pytest.raises(
        ValueError,
        match=r'a tensor of \(1000000000000\) '
        'made of 1 numbers',
    ):
        read_detections(
            tmp_path / 'wide.pkl', read_ground_truth(ground_truth())
        )


DAMAGED = [
    dict(size=[10**9, 10**9], counts='0'),
    dict(size=[24], counts='0'),
    # Runs that never add up made pycocotools loop without end.
    dict(size=[*SIZE], counts='0'),
    dict(size=[*SIZE], counts='P'),
    # A run whose last character says that more follow: it read on behind.
    dict(size=[*SIZE], counts='PPPP'),
    dict(size=[*SIZE], counts=''),
    dict(size=[*SIZE], counts='\u20ac'),
    dict(size=[*SIZE], counts=7),
    None,
]


@pytest.mark.parametrize('mask', DAMAGED, ids=str)
def test_damaged_masks_of_results_are_refused(mask):
    with pytest.raises(ValueError, match=r'r\.json.*mask 0(:| has| is)'):
        detections_from_coco(
            result(segmentation=mask),
            read_ground_truth(ground_truth()),
            'r.json',
            masks=True,
        )


@pytest.mark.parametrize(
    'mask',
    [
        *DAMAGED[:-1],
        dict(size=[*SIZE], counts=[1, 2]),
        dict(size=[*SIZE], counts=[-5, 773]),
        # Outlines of 2 and 40 billion pixels, of which each takes 40 bytes.
        [[0, 0, 1e9, 0, 0, 1e9]],
        [[0, 0, 1e5, 0] * 100_000],
        [[1, 2, 3, 10**400, 5, 6]],
        [[1, 2, 3, float('nan'), 5, 6]],
        [[1, 2, 3]],
        [[]],
        [['a'] * 6],
        'text',
    ],
    ids=lambda mask: str(mask)[:40],
)
@pytest.mark.parametrize('metric', ['segm', 'bbox'])
def test_damaged_masks_of_the_truth_are_refused_where_masks_count(
    mask, metric
):
    data = read_ground_truth(annotated(segmentation=mask))
    good = dict(size=[*SIZE], counts=[0, SIZE[0] * SIZE[1]])
    found = detections_from_coco(
        result(segmentation=mask_utils.frPyObjects(good, *SIZE)),
        data,
        'r.json',
        masks=True,
    )
    if metric == 'bbox':
        assert evaluate(data, found, [], metric).ap() == pytest.approx(1)
        return
    for read in evaluate, match:
        with pytest.raises(ValueError, match=r'The ground truth.* mask'):
            read(data, found, [ALL_SIZES], metric)


def test_outlines_are_bounded_together_as_well():
    """Of 0.1 MB, pycocotools would draw 60 million pixels and keep them."""
    side = 30_000
    entry = dict(
        ground_truth()['annotations'][0],
        segmentation=[
            [0, side / 2, side / 2, 0, side, side / 2, side / 2, side]
        ],
    )
    held = read_ground_truth(
        ground_truth(
            images=[dict(id=1, height=side, width=side)],
            annotations=[dict(entry, id=i) for i in range(400)],
        )
    )
    with pytest.raises(
        ValueError,
        match='the outlines of the first 201 of '
        '400 objects are longer than 12000000 pixels',
    ):
        held.masks  # noqa: B018


@pytest.mark.parametrize(
    'runs', [[0, 10**10], [0, 2**31, 0, 2**31, 0, 10**10 - 2**32]]
)
def test_masks_of_more_pixels_than_pycocotools_counts_are_refused(runs):
    """It would loop without end."""
    data = ground_truth(
        images=[dict(id=1, height=10**5, width=10**5, file_name='0.png')]
    )
    data['annotations'][0]['segmentation'] = dict(
        size=[10**5] * 2, counts=runs
    )
    held = read_ground_truth(data)
    mask = mask_utils.frPyObjects(
        dict(size=[10**5] * 2, counts=[0]), 10**5, 10**5
    )
    for check in (
        lambda: held.masks(),
        lambda: make_detections(held, [1], [1], [[0, 0, 1, 1]], [0.5], [mask]),
    ):
        with pytest.raises(ValueError, match='images of fewer than 4294967'):
            check()


def test_ids_of_equal_hashes_take_no_quadratic_time(tmp_path):
    """20,000 took 6 s; ten times as many take a hundred times as long."""
    found = [
        dict(result()[0], category_id=k * (2**61 - 1))
        for k in range(1, 20_001)
    ]
    (tmp_path / 'r.json').write_text(json.dumps(found))
    for number in 3, len(found):  # Below 64 bits, and beyond.
        (tmp_path / 'r.json').write_text(json.dumps(found[:number]))
        begin = time.monotonic()
        with pytest.raises(ValueError, match=r'r\.json .*category'):
            read_detections(
                tmp_path / 'r.json', read_ground_truth(ground_truth())
            )
        assert time.monotonic() - begin < 3


def test_categories_and_images_of_nothing_take_no_memory(tmp_path):
    """0.6 MB took 3 GB: tables of all categories by images or recalls."""
    for name, categories, images in (
        ('wide', 20_000, 10),
        ('both', 3000, 3000),
    ):
        (tmp_path / f'{name}.json').write_text(
            json.dumps(
                ground_truth(
                    images=[
                        dict(id=i, height=9, width=9) for i in range(images)
                    ],
                    categories=[
                        dict(id=i, name=str(i)) for i in range(categories)
                    ],
                )
            )
        )
    call = """
        data = read_ground_truth(path)
        found = detections_from_coco([dict(
            image_id=1, category_id=1, bbox=[1, 1, 9, 9], score=1)], data, '')
        bins = size_bins('coco')
        for engine in 'hotcoco', 'pycocotools':
            assert evaluate(data, found, bins, engine=engine).ap() > 0.99
        resample_figures(data, found, bins, resamples=100)
        raise ValueError('evaluated')"""
    assert (
        refusals(
            call, tmp_path / 'wide.json', tmp_path / 'both.json', most=150
        )
        == ['evaluated'] * 2
    )


def test_more_categories_than_any_data_set_has_are_refused():
    with pytest.raises(ValueError, match='has 50001 categories; at most 5000'):
        read_ground_truth(
            ground_truth(
                categories=[dict(id=i, name='a') for i in range(50_001)]
            )
        )


@pytest.mark.parametrize('width', [10**9, -1, 10**30, 1e400, 'wide', None])
def test_absurd_images_are_refused(width):
    data = ground_truth()
    data['images'][0]['width'] = width
    with pytest.raises(ValueError, match='height'):
        read_ground_truth(data)


@pytest.mark.parametrize(
    'name',
    ['../secret.png', 'a/../../secret.png', '{outside}/secret.png', '', '.'],
)
def test_images_outside_their_folder_are_not_read(tmp_path, monkeypatch, name):
    (tmp_path / 'images').mkdir()
    imsave(tmp_path / 'secret.png', np.zeros((*SIZE, 3)))
    name = name.format(outside=tmp_path)
    monkeypatch.chdir(tmp_path / 'images')
    for folder in tmp_path / 'images', '.':
        with pytest.raises(ValueError, match='leads out of the folder'):
            read_image(folder, name)


def test_names_of_images_are_shown_as_a_terminal_may_have_them(tmp_path):
    for name in '\x1b[2J', '../\x1b[2J':
        with pytest.raises((FileNotFoundError, ValueError), match=r'\?\[2J'):
            read_image(tmp_path, name)


def test_images_below_their_folder_are_read_also_through_links(tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    imsave(tmp_path / 'elsewhere' / '0.png', np.zeros((*SIZE, 3)))
    (tmp_path / 'images').symlink_to(tmp_path / 'elsewhere')
    assert read_image(tmp_path / 'images', '0.png').shape[:2] == SIZE
    (tmp_path / 'images' / 'page.png').write_text('<html>')
    with pytest.raises(ValueError, match=r'page\.png is no image'):
        read_image(tmp_path / 'images', 'page.png')


def test_names_that_files_hold_do_not_choose_where_is_written(tmp_path):
    data = ground_truth(
        categories=[
            dict(id=1, name='../../$climbs^'),
            dict(id=2, name='/tmp/absolute'),
        ]
    )
    (tmp_path / 'truth.json').write_text(json.dumps(data))
    (tmp_path / 'r.json').write_text(json.dumps(result(bbox=[9, 9, 1, 1])))
    (tmp_path / 'images').mkdir()
    imsave(tmp_path / 'images' / '0.png', np.zeros((*SIZE, 3)))
    before = {*tmp_path.rglob('*')}
    args = [tmp_path / 'r.json', tmp_path / 'truth.json']
    code, shown = run_script(
        'evaluate.py',
        *args[::-1],
        '--out-dir',
        tmp_path / 'out/e',
        '--images',
        tmp_path / 'images',
    )
    assert code == 0, shown
    code, shown = run_script(
        'compare.py',
        args[0],
        args[0],
        '--ground-truth',
        args[1],
        '--names',
        '../a',
        '$b_{',
        '--out-dir',
        tmp_path / 'out/c',
        '--resamples',
        5,
    )
    assert code == 0, shown
    new = {*tmp_path.rglob('*')} - before
    assert all(tmp_path / 'out' in [path, *path.parents] for path in new)
    assert {path.name for path in new} >= {'missed.png', 'comparison.png'}


@pytest.mark.parametrize(
    'text',
    [
        '[' * 10**6,
        '[' * 10**6 + ']' * 10**6,
        '{"a":' * 10**5 + '1' + '}' * 10**5,
    ],
)
def test_lists_in_lists_without_end_are_refused(tmp_path, text):
    path = tmp_path / 'deep.json'
    path.write_text(text)
    for read in (
        load_json,
        lambda p: read_detections(p, read_ground_truth(ground_truth())),
    ):
        with pytest.raises(ValueError, match=r'deep\.json'):
            read(path)


def test_json_beyond_the_memory_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / 'huge.json').open('wb') as file:
        file.truncate(10**13)  # Without a byte of it on the disk.
    for read in (
        load_json,
        lambda p: read_detections(p, read_ground_truth(ground_truth())),
    ):
        with pytest.raises(
            ValueError,
            match=r'huge\.json is of 10000\.0 GB '
            'and takes up to .* are free',
        ):
            read(tmp_path / 'huge.json')


@pytest.mark.parametrize(
    'entry, grows',
    [
        ('[],', True),
        ('{},', True),
        ('[0],', True),
        ('{"a":1},', True),
        (
            '{"id":1,"image_id":1,"category_id":1,"bbox":[1,2,3,4],"area":12,'
            '"iscrowd":0},',
            False,
        ),
        (
            '{"image_id":1,"category_id":1,"bbox":[1,2,3,4],"score":0.5},',
            False,
        ),
        ('100,', False),
        ('[1,1,2,1,2,2,1,2,1,1],', False),
    ],
)
def test_json_that_grows_more_than_data_is_refused_whatever_fits(
    tmp_path, monkeypatch, entry, grows
):
    monkeypatch.setattr(json_files, 'FREE_BYTES', 0)
    (tmp_path / 'a.json').write_text(f'[{entry * 2000}1]')
    if grows:
        with pytest.raises(
            ValueError,
            match=r'a\.json is of .* MB and holds '
            '.* lists .* at most 8 times its size',
        ):
            load_json(tmp_path / 'a.json')
    else:
        assert len(load_json(tmp_path / 'a.json')) == 2001


@pytest.mark.parametrize(
    'text',
    [
        '[' + '[],' * 10**6 + '[]]',
        '[' + '{"a":[1.5]},' * 10**5 + '[]]',
        '["' + 'a' * 10**7 + '"]',
        '[' + '1e5,' * 10**6 + '1]',
    ],
    ids=['lists', 'dicts', 'text', 'numbers'],
)
def test_json_that_grows_in_memory_is_refused_where_it_would_not_fit(
    tmp_path, monkeypatch, text
):
    (tmp_path / 'a.json').write_text(text)
    script = f"""
import gc, json, re
{PEAK}
gc.disable()
text = open({str(tmp_path / 'a.json')!r}, 'rb').read()
before = peak()
held = json.loads(text)
print(peak() - before)"""
    taken = 1024 * int(
        subprocess.run(
            [sys.executable, '-c', script],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    monkeypatch.setattr(
        json_files, 'available_memory', lambda: taken + len(text)
    )
    with pytest.raises(ValueError, match='of memory, of which'):
        load_json(tmp_path / 'a.json')
