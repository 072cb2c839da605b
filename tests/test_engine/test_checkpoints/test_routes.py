"""Hostile checkpoints on every route that loads one; see docs/security.md."""

import json
import os
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config

from sge_mmdet.engine import load_local_checkpoint
from tests.helpers.scripts import run_script
from tests.helpers.tiny_run import write_tiny_run

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
