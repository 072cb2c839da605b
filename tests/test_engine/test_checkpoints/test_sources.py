"""Hostile checkpoints from files and by nicknames; see docs/security.md."""

import json

import numpy as np
import pytest
import torch
from matplotlib.image import imsave
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as upstream

import sge_mmdet  # noqa: F401
from tests.helpers.hostile_files import (
    SIZE,
    Hostile,
    ground_truth,
    needs_weights_only,
)
from tests.helpers.scripts import TOOLS, run_script

pytestmark = needs_weights_only

DEMO = TOOLS.parent / 'configs/demo/faster-rcnn_r18-sge_fpn_400i_digits.py'


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
        'a.pth has no weight of the FasterRCNN of the config; it has a. '
        'Name the config that it was trained with'
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
