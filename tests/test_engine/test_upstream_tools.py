"""MMDetection's own tools run for real, a few iterations at a time."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger

from sge_mmdet.datasets import DigitsOptions, make_digits
from sge_mmdet.engine import load_local_checkpoint
from sge_mmdet.engine.config_imports import import_options
from sge_mmdet.utils import upstream_path
from sge_mmdet.visualization.training_curves import read_scalars
from tests.helpers.processes import run_scripts
from tests.helpers.scripts import run_script

ROOT = Path(__file__).parents[2]
DEMO = ROOT / 'configs' / 'demo' / 'faster-rcnn_r18-sge_fpn_400i_digits.py'
SMALL = """
_base_ = {base!r}
data_root = {data!r}
dataset = dict(type='CocoDataset', data_root=data_root,
               metainfo=dict(classes=tuple('0123456789')))
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False,
                        dataset=dataset)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dataset)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator
train_cfg = dict(max_iters=2, val_interval=2)
default_hooks = dict(checkpoint=dict(interval=2), logger=dict(interval=1))
"""
HOOK = """
custom_hooks = [dict(type='SGEVisualizationHook', interval=2, number=1,
                     layers=['layer2.1'])]
"""
# A module of the user, and the config that imports it.
USERS_MODULE = """
import warnings

warnings.warn('my layer is slow')
warnings.warn('pkg_resources is deprecated as an API, and I use it')
"""
USERS_CONFIG = """
_base_ = './small.py'
custom_imports = dict(imports=['sge_mmdet', 'users_module'])
"""


def run(*command, **environment):
    ((code, output),) = run_scripts([(command, environment)], ROOT)
    return code, output


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    """The demo at the size of a test: config, work directory."""
    root = tmp_path_factory.mktemp('run')
    make_digits(
        root / 'digits',
        DigitsOptions(
            train_images=4, val_images=2, image_size=128, max_objects=6
        ),
    )
    (root / 'small.py').write_text(
        SMALL.format(base=str(DEMO), data=f'{root}/digits/') + HOOK
    )
    return root / 'small.py', root / 'work'


@pytest.fixture(scope='module')
def trained(small):
    config, work_dir = small
    code, output = run(
        upstream_path('tools', 'train.py'), config, '--work-dir', work_dir
    )
    assert code == 0, output
    assert 'coco/bbox_mAP_s' in output
    return small


def test_upstream_train_writes_sge_and_the_logs_into_its_checkpoint(trained):
    checkpoint = load_local_checkpoint(trained[1] / 'iter_2.pth')
    weight = checkpoint['state_dict']['backbone.layer1.0.sge.weight']
    assert weight.shape == (1, 64, 1, 1)
    assert weight.any(), 'two steps must have moved it from zero'
    assert checkpoint['message_hub']['log_scalars']['train/loss'].current() > 0


@pytest.fixture(scope='module')
def resumed(trained):
    """Work directory of the resumed training, and what the terminal showed."""
    config, work_dir = trained
    (config.parent / 'users_module.py').write_text(USERS_MODULE)
    users_config = config.with_name('users_config.py')
    users_config.write_text(USERS_CONFIG)
    path = [str(config.parent), *filter(None, [os.getenv('PYTHONPATH')])]
    code, output = run(
        'tools/train.py',
        '--work-dir',
        work_dir,
        users_config,
        '--resume',
        '--cfg-options',
        'train_cfg.max_iters=3',
        'default_hooks.checkpoint.interval=1',
        PYTHONPATH=os.pathsep.join(path),
    )
    assert code == 0, output
    return work_dir, output


def test_train_resumes_where_it_stopped(resumed):
    work_dir, output = resumed
    assert 'resumed epoch: 0, iter: 2' in output
    steps = [
        json.loads(line)['step']
        for file in sorted(work_dir.glob('*/vis_data/scalars.json'))[1:]
        for line in file.read_text().splitlines()
        if '"loss"' in line
    ]
    assert steps == [3]


def test_terminal_shows_progress_one_table_and_the_users_warnings(resumed):
    work_dir, output = resumed
    warned = [line for line in output.splitlines() if 'Warning: ' in line]
    assert [line.partition('Warning: ')[2] for line in warned] == [
        'my layer is slow',
        'pkg_resources is deprecated as an API, and I use it',
    ]
    # The demo's data has none, and a newcomer need do nothing about it.
    assert 'no objects of the size large; figures such as bbox_mAP_' in output
    assert 'Iter(train) [3/3]' in output and 'coco/bbox_mAP_s: ' in output
    assert output.count('AP50') == output.count('bbox by object size') == 1
    log = max(work_dir.glob('*/*.log')).read_text()
    for words in (
        'System environment:',
        'Config:\n',
        'Hooks will be executed in the following order',
        '"FileClient" will be deprecated',
    ):
        assert words in log and words not in output
    for words in (
        'loading annotations',
        'creating index',
        '_checkpoint backend',
    ):
        assert words not in output


def test_upstream_test_evaluates_and_the_run_is_drawn(trained):
    config, work_dir = trained
    code, output = run(
        upstream_path('tools', 'test.py'),
        config,
        work_dir / 'iter_2.pth',
        '--work-dir',
        work_dir,
        '--cfg-options',
        f'test_evaluator.outfile_prefix={work_dir}/test',
    )
    assert code == 0, output
    for _ in range(2):
        code, output = run_script('draw_run.py', config, work_dir)
        assert code == 0, output
    assert read_scalars(work_dir)['coco/bbox_mAP'].keys() >= {2}
    assert {'detections.png', 'curves.png'} <= {
        path.name for path in work_dir.iterdir()
    }


def test_evaluation_of_a_config_writes_its_own_files_alone(trained):
    config, work_dir = trained
    mine = {path: path.read_bytes() for path in config.parent.glob('*.*')}
    folders = {path for path in config.parent.iterdir() if path.is_dir()}
    assert config in mine
    for _ in range(2):
        code, output = run_script(
            'evaluate.py',
            config,
            work_dir / 'iter_2.pth',
            '--out-dir',
            config.parent,
        )
        assert code == 0, output
    assert all(path.read_bytes() == text for path, text in mine.items())
    assert json.loads((config.parent / 'evaluation.json').read_text())
    assert (config.parent / 'detections.bbox.json').is_file()
    assert folders == {
        path for path in config.parent.iterdir() if path.is_dir()
    }


def test_hook_draws_gates_into_the_work_directory(trained):
    drawn = sorted(
        path.name for path in trained[1].glob('*/vis_data/vis_image/*')
    )
    assert drawn == [
        'sge_backbone.layer2.1.sge_2.png',
        'sge_similarity_backbone.layer2.1.sge_2.png',
    ]


def test_gates_of_a_trained_detector_are_drawn(trained, tmp_path):
    config, work_dir = trained
    image = next((config.parent / 'digits' / 'val').iterdir())
    command = [
        'visualize_sge.py',
        config,
        work_dir / 'iter_2.pth',
        image,
        '--out-dir',
        tmp_path,
    ]
    code, output = run_script(
        *command, '--layers', 'layer1.1', '--before', work_dir / 'iter_2.pth'
    )
    assert code == 0, output
    assert {path.name for path in tmp_path.glob('[!.]*')} == {
        'backbone.layer1.1.sge.gates.png',
        'backbone.layer1.1.sge.similarity.png',
    }
    handler = logging.Handler(logging.INFO)
    handler.emit = mock.Mock()
    with mock.patch.object(
        MMLogger.get_current_instance(), 'handlers', [handler]
    ):
        code, output = run_script(*command, '--layers', 'layer1.1')
    assert code == 0, output
    # Initial weights would be named by a message each.
    assert not handler.emit.called
    code, output = run_script(*command, '--layers', 'layer9')
    assert code == 1
    assert (
        'layers: expected parts of the names backbone.layer1.0'
        in output.splitlines()[-1]
    )


def test_drawing_without_results_says_how_to_make_them(small, tmp_path):
    code, output = run_script('draw_run.py', small[0], tmp_path)
    assert code == 1
    assert output.splitlines()[-1] == (
        f'error: There is no file {tmp_path}/test.bbox.json'
    )


def test_cfg_options_alone_put_sge_into_a_config_that_never_heard_of_it(
    small, tmp_path
):
    upstream = upstream_path(
        'configs', 'retinanet', 'retinanet_r18_fpn_1x_coco.py'
    )
    (tmp_path / 'upstream.py').write_text(
        SMALL.format(
            base=str(upstream), data=f'{small[0].parent}/digits/'
        ).replace(
            'train_cfg = dict(max_iters=2, val_interval=2)',
            'train_cfg = dict(max_epochs=1)\n'
            "train_dataloader['dataset'].update(\n"
            "    ann_file='annotations/val.json',\n"
            "    data_prefix=dict(img='val/'))\n"
            "val_dataloader['dataset'] = train_dataloader['dataset']\n"
            "test_dataloader['dataset'] = train_dataloader['dataset']\n",
        )
    )
    code, output = run(
        'tools/train.py',
        tmp_path / 'upstream.py',
        '--work-dir',
        tmp_path / 'work',
        '--cfg-options',
        'model.backbone.type=SGEResNet',
        'model.backbone.init_cfg=None',
        'default_hooks.checkpoint.interval=1',
        'train_dataloader.dataset.pipeline.2.scale=(160,96)',
        'val_dataloader.dataset.pipeline.1.scale=(160,96)',
    )
    assert code == 0, output
    checkpoint = tmp_path / 'work/epoch_1.pth'
    state = load_local_checkpoint(checkpoint)['state_dict']
    assert 'backbone.layer4.1.sge.bias' in state
    # In a process that does not import this package by itself.
    image = next((small[0].parent / 'digits' / 'val').iterdir())
    script = (
        'import sys; from mmdet.apis import DetInferencer, init_detector; '
        'config, weights, image = sys.argv[1:]; '
        'model = init_detector(config, weights, device="cpu"); '
        'print(type(model.backbone).__name__); '
        'result = DetInferencer(weights=weights, device="cpu")(image); '
        'print([*result])'
    )
    arguments = [tmp_path / 'work/upstream.py', checkpoint, image]
    shown = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', script, *arguments],
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
    assert 'SGEResNet' in shown.stdout and 'predictions' in shown.stdout
    code, output = run(
        upstream_path('tools', 'test.py'),
        tmp_path / 'work/upstream.py',
        checkpoint,
        '--work-dir',
        tmp_path / 'test',
    )
    assert code == 0, output


@pytest.mark.parametrize(
    'text, options',
    [
        (
            "model = dict(type='RetinaNet', backbone=dict(type='SGEHRNet'))",
            ['custom_imports.imports=[sge_mmdet]'],
        ),
        (
            "model = dict(plugins=[dict(cfg=dict(type='SGE'))])\n"
            "custom_imports = dict(imports='numpy')",
            ['custom_imports.imports=[numpy,sge_mmdet]'],
        ),
        (
            "val_evaluator = dict(type='SmallObjectMetric')\n"
            "custom_imports = dict(imports=['sge_mmdet'])",
            [],
        ),
        ("model = dict(backbone=dict(type='HRNet'))", []),
    ],
)
def test_import_is_added_where_a_config_needs_it(text, options):
    cfg = Config.fromstring(text, '.py')
    assert import_options(cfg) == options
    cfg.merge_from_dict(
        {
            key: value[1:-1].split(',')
            for key, value in (option.split('=') for option in options)
        }
    )
    assert import_options(cfg) == []


def test_mistyped_type_with_sge_is_one_line_before_the_run(small):
    code, output = run(
        'tools/train.py',
        small[0],
        '--cfg-options',
        'model.backbone.type=SGECSPNext',
    )
    assert code == 1
    (line,) = [one for one in output.splitlines() if 'error' in one]
    assert "no type 'SGECSPNext'; the nearest is 'SGECSPNeXt'" in line
    assert 'Traceback' not in output


def arguments_of(program, folder, script, arguments, **environment):
    """Return what a script gives to a program, one argument a line."""
    fake = folder / program
    fake.write_text('#!/bin/sh\nfor argument; do echo "$argument"; done\n')
    fake.chmod(0o755)
    return subprocess.run(
        ['bash', script, *arguments],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=True,
        env={
            **os.environ,
            'PATH': f'{folder}:{os.environ["PATH"]}',
            **environment,
        },
    ).stdout.splitlines()


@pytest.mark.parametrize(
    'name, arguments, tail',
    [
        (
            'train',
            ['a b.py', '2', '--work-dir', 'w d'],
            [
                'tools/train.py',
                'a b.py',
                '--launcher',
                'pytorch',
                '--work-dir',
                'w d',
            ],
        ),
        (
            'test',
            ['a b.py', 'c.pth', '2', '--out', 'r.pkl'],
            [
                'tools/test.py',
                'a b.py',
                'c.pth',
                '--launcher',
                'pytorch',
                '--out',
                'r.pkl',
            ],
        ),
    ],
)
def test_dist_scripts_start_that_many_processes_of_the_tool(
    tmp_path, name, arguments, tail
):
    got = arguments_of(
        'python',
        tmp_path,
        f'tools/dist_{name}.sh',
        arguments,
        PORT='12345',
        NNODES='3',
    )
    assert got[:2] == ['-m', 'torch.distributed.run']
    assert {'--nproc_per_node=2', '--master_port=12345', '--nnodes=3'} <= set(
        got
    )
    assert got[-len(tail) :] == tail


@pytest.mark.parametrize(
    'name, arguments, tail',
    [
        (
            'train',
            ['part', 'my job', 'a b.py', 'w d', '--resume'],
            [
                'tools/train.py',
                'a b.py',
                '--work-dir',
                'w d',
                '--launcher',
                'slurm',
                '--resume',
            ],
        ),
        (
            'test',
            ['part', 'my job', 'a b.py', 'c.pth', '--out', 'r.pkl'],
            [
                'tools/test.py',
                'a b.py',
                'c.pth',
                '--launcher',
                'slurm',
                '--out',
                'r.pkl',
            ],
        ),
    ],
)
def test_slurm_scripts_start_that_many_tasks_of_the_tool(
    tmp_path, name, arguments, tail
):
    got = arguments_of(
        'srun',
        tmp_path,
        f'tools/slurm_{name}.sh',
        arguments,
        GPUS='16',
        GPUS_PER_NODE='4',
        SRUN_ARGS='--qos high --time=1',
    )
    assert {
        '--partition=part',
        '--job-name=my job',
        '--ntasks=16',
        '--ntasks-per-node=4',
        '--gres=gpu:4',
        '--cpus-per-task=5',
        '--qos',
        'high',
        '--time=1',
    } <= set(got)
    assert got[-len(tail) - 2 :] == ['python', '-u', *tail]


@pytest.mark.parametrize(
    'name, usage',
    [
        ('dist_train.sh', 'CONFIG PROCESSES'),
        ('dist_test.sh', 'CONFIG CHECKPOINT PROCESSES'),
        ('slurm_train.sh', 'PARTITION JOB_NAME CONFIG WORK_DIR'),
        ('slurm_test.sh', 'PARTITION JOB_NAME CONFIG CHECKPOINT'),
    ],
)
def test_scripts_of_many_processes_show_their_usage(name, usage):
    done = subprocess.run(
        ['bash', f'tools/{name}'], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert f'Usage: tools/{name} {usage} [options' in done.stderr


def test_missing_data_ends_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, output = run_script('train.py', DEMO)
    assert code == 1
    assert output.splitlines()[-1] == (
        f'error: {DEMO}: There is no folder data/digits/: '
        'train_dataloader.dataset '
        'needs it; download or generate the data, or set '
        "train_dataloader.dataset.data_root (now 'data/digits/'). "
        'tools/make_digits.py makes the data of the demo; run it and this '
        'command in the same folder'
    )
    assert not list(tmp_path.iterdir())


def test_missing_config_ends_in_one_line():
    code, shown = run_script('train.py', 'configs/nowhere.py')
    assert code == 1 and shown.count('\n') == 1
    assert shown.startswith('error: There is no config configs/nowhere.py; ')


@pytest.mark.parametrize('words', [['train.py'], ['test.py', 'a.pth']])
def test_config_without_a_model_ends_in_one_line(tmp_path, words):
    config = tmp_path / 'base.py'
    config.write_text("train_cfg = dict(max_epochs='12')")
    code, shown = run_script(words[0], config, *words[1:])
    assert code == 1 and shown.count('\n') == 1
    assert shown.startswith(f'error: {config} has no model; give the config ')


def test_missing_package_of_a_config_ends_in_one_line(tmp_path):
    config = tmp_path / 'yolo.py'
    config.write_text("_base_ = 'mmyolo::yolov5/yolov5_s.py'")
    code, output = run_script('train.py', config)
    assert code == 1
    assert output.splitlines()[-1].startswith(
        f'error: {config} cannot be loaded as a config: '
        'ModuleNotFoundError: mmyolo is not installed'
    )
    assert 'Traceback' not in output


def test_annotations_that_are_not_json_end_in_one_line(small, tmp_path):
    data = tmp_path / 'digits'
    for split in ('train', 'val'):
        (data / split).mkdir(parents=True)
    (data / 'annotations').mkdir()
    (data / 'annotations/train.json').write_text('<html>')
    config = tmp_path / 'small.py'
    config.write_text(SMALL.format(base=str(DEMO), data=f'{data}/'))
    code, output = run_script('train.py', config)
    assert code == 1
    assert output.splitlines()[-1].startswith(
        f'error: {config}: {data}/annotations/train.json is not a JSON file'
    )
