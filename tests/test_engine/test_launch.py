"""Training and testing in two processes, which talk over gloo."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel

from sge_mmdet import SGEResNet, SpatialGroupEnhance
from sge_mmdet.engine.launch import use_cpus
from tests.helpers.processes import free_port, run_scripts, start
from tests.helpers.scripts import run_script
from tests.helpers.tiny_run import write_tiny_run

ROOT = Path(__file__).parents[2]
PROCESSES = 2
WITHOUT_GPU = pytest.mark.skipif(
    torch.cuda.is_available(), reason='a GPU would be taken'
)
BACKBONES = [
    dict(
        depth=depth,
        frozen_stages=frozen,
        with_cp=with_cp,
        base_channels=16,
        stem_channels=16,
        sge=dict(groups=4),
        norm_eval=True,
    )
    for depth, frozen, with_cp in (
        (18, -1, False),
        (18, 2, False),
        (50, -1, False),
        (50, 1, True),
    )
]


def run_dist(script, *args):
    # The scripts take the shell's python.
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    done = subprocess.run(
        ['bash', f'tools/{script}', *map(str, args)],
        cwd=ROOT,
        text=True,
        capture_output=True,
        env={**os.environ, 'PATH': path, 'PORT': str(free_port())},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_tests_in_processes(*args):
    """Do what dist_test.sh starts; its command is tested elsewhere."""
    command = ['tools/test.py', *args, '--launcher', 'pytorch']
    port = str(free_port())
    done = run_scripts(
        [
            (command, dict(RANK=rank, LOCAL_RANK=rank))
            for rank in map(str, range(PROCESSES))
        ],
        ROOT,
        WORLD_SIZE=str(PROCESSES),
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=port,
    )
    for code, output in done:
        assert code == 0, output


@WITHOUT_GPU
def test_two_processes_train_and_test_every_image_once(tmp_path):
    config = write_tiny_run(tmp_path, val_images=3)
    log = run_dist(
        'dist_train.sh',
        config,
        PROCESSES,
        '--work-dir',
        tmp_path,
        '--cfg-options',
        'train_cfg.max_iters=3',
        'train_cfg.val_begin=4',
        'model.backbone.frozen_stages=1',
        'model.backbone.norm_eval=True',
    )
    assert 'Iter(train) [3/3]' in log
    checkpoint = tmp_path / 'iter_3.pth'
    run_tests_in_processes(
        config,
        checkpoint,
        '--work-dir',
        tmp_path / 'two',
        '--cfg-options',
        f'test_evaluator.outfile_prefix={tmp_path}/two',
    )
    code, output = run_script(
        'test.py',
        config,
        checkpoint,
        '--work-dir',
        tmp_path / 'one',
        '--cfg-options',
        f'test_evaluator.outfile_prefix={tmp_path}/one',
    )
    assert code == 0, output
    two, one = (
        json.loads((tmp_path / f'{name}.bbox.json').read_text())
        for name in ('two', 'one')
    )
    assert {found['image_id'] for found in one} == {1, 2, 3}
    assert two == one
    two, one = (
        json.loads(next((tmp_path / name).glob('2*/2*.json')).read_text())
        for name in ('two', 'one')
    )
    metrics = [key for key in one if key.startswith('coco/')]
    assert metrics and [two[key] for key in metrics] == [
        one[key] for key in metrics
    ]


def build(options):
    torch.manual_seed(1)
    backbone = SGEResNet(**options).double().train()
    for layer in backbone.modules():
        if isinstance(layer, SpatialGroupEnhance):
            torch.nn.init.normal_(layer.weight)
    return backbone


def gradients(model, images):
    """Return the gradients of a second pass; the first must not hinder it."""
    for _ in range(2):
        model.zero_grad()
        sum((feature**2).mean() for feature in model(images)).backward()
    return {
        name: parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def some_images():
    return torch.rand(
        PROCESSES,
        3,
        48,
        32,
        dtype=torch.float64,
        generator=torch.Generator().manual_seed(0),
    )


def train_on_one_image(rank, path, port):
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.distributed.init_process_group(
        'gloo', rank=rank, world_size=PROCESSES
    )
    found = []
    for options in BACKBONES:
        model = MMDistributedDataParallel(
            build(options),
            broadcast_buffers=False,
            find_unused_parameters=False,
        )
        found.append(gradients(model, some_images()[rank : rank + 1]))
    torch.save(found, f'{path}/{rank}.pth')
    torch.distributed.destroy_process_group()


def test_gradients_of_two_processes_are_those_of_the_joined_batch(tmp_path):
    port = free_port()
    processes = [
        start(train_on_one_image, rank, tmp_path, port)
        for rank in range(PROCESSES)
    ]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    ranks = [torch.load(tmp_path / f'{rank}.pth') for rank in range(PROCESSES)]
    for i, options in enumerate(BACKBONES):
        want = gradients(build(options), some_images())
        assert any('.sge.' in name for name in want)
        for found in ranks:
            assert len(found[i]) == len(want)
            for name, gradient in want.items():
                assert gradient.any(), name
                torch.testing.assert_close(
                    found[i][f'module.{name}'], gradient, rtol=1e-9, atol=1e-12
                )


@pytest.mark.parametrize(
    'launcher, variable',
    [('pytorch', 'LOCAL_RANK'), ('slurm', 'SLURM_LOCALID'), ('none', None)],
)
@WITHOUT_GPU
def test_every_launcher_does_without_gpus(launcher, variable, monkeypatch):
    if variable:
        monkeypatch.setenv(variable, '1')
    options = use_cpus(Config(dict(find_unused_parameters=True)), launcher)
    assert options == (variable is not None) * [
        'env_cfg.dist_cfg.backend=gloo',
        'model_wrapper_cfg.type=MMDistributedDataParallel',
        'model_wrapper_cfg.broadcast_buffers=False',
        'model_wrapper_cfg.find_unused_parameters=True',
        'model_wrapper_cfg.device_ids=None',
    ]
    torch.cuda.set_device(int(os.environ.get(variable or '', -1)))


@WITHOUT_GPU
def test_choices_of_the_config_are_kept_without_gpus(monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', '1')
    cfg = Config(
        dict(
            env_cfg=dict(dist_cfg=dict(backend='mpi')),
            model_wrapper_cfg=dict(broadcast_buffers=True),
        )
    )
    assert use_cpus(cfg, 'pytorch') == ['model_wrapper_cfg.device_ids=None']
    cfg.model_wrapper_cfg = dict(type='MMFullyShardedDataParallel')
    assert use_cpus(cfg, 'pytorch') == []


def test_nothing_is_changed_where_there_is_a_gpu(monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', '1')
    monkeypatch.setattr('sge_mmdet.engine.launch.get_device', lambda: 'cuda')
    assert use_cpus(Config({}), 'pytorch') == []
    assert os.environ['LOCAL_RANK'] == '1'
