"""Checks before a training: what is found, and that nothing is invented."""

import copy
import json
import os
import re
import sys
from unittest import mock

import pytest
import torch
from mmengine.config import Config

from sge_mmdet.engine import preflight
from sge_mmdet.engine.preflight import TrainingRun, check_training
from sge_mmdet.engine.preflight.annotations import AnnotationFile
from sge_mmdet.engine.preflight.classes import dataset_classes
from sge_mmdet.engine.preflight.files import annotation_path, leaf_datasets
from sge_mmdet.utils import build_model, load_config
from tests.helpers.own_data import BASES, CLASSES, write_coco
from tests.helpers.scripts import run_script

# Configs of each kind of detector, data set, schedule and checkpoint.
UPSTREAM = """
    cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py
    cityscapes/faster-rcnn_r50_fpn_1x_cityscapes.py
    deformable_detr/deformable-detr_r50_16xb2-50e_coco.py
    dino/dino-4scale_r50_8xb2-12e_coco.py
    glip/glip_atss_swin-t_a_fpn_dyhead_16xb2_ms-2x_funtune_coco.py
    ld/ld_r18-gflv1-r101_fpn_1x_coco.py
    lvis/mask-rcnn_r50_fpn_sample1e-3_ms-1x_lvis-v1.py
    mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py
    mask2former/mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco.py
    openimages/faster-rcnn_r50_fpn_32xb2-1x_openimages.py
    pascal_voc/faster-rcnn_r50_fpn_1x_voc0712-cocofmt.py
    pascal_voc/faster-rcnn_r50_fpn_1x_voc0712.py
    rpn/rpn_r50_fpn_1x_coco.py
    rtmdet/rtmdet_tiny_8xb32-300e_coco.py
    seesaw_loss/mask-rcnn_r50_fpn_seesaw-loss_random-ms-2x_lvis-v1.py
    soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py
    solov2/solov2_r50_fpn_1x_coco.py
    strong_baselines/mask-rcnn_r50_fpn_rpn-2conv_4conv1fc_syncbn-all_lsj-100e_coco.py
    v3det/faster_rcnn_r50_fpn_8x4_sample1e-3_mstrain_v3det_2x.py
    yolox/yolox_tiny_8xb8-300e_coco.py
""".split()


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    write_coco(folder)
    for name, text in BASES.items():
        (folder / f'{name}.py').write_text(text)
    code, output = run_script(
        'new_config.py',
        folder / 'faster.py',
        *('--train', folder / 'train.json', '--val', folder / 'val.json'),
        *('--images', folder / 'images', '-o', folder / 'mine.py'),
    )
    assert code == 0, output
    return folder


@pytest.fixture(scope='module')
def loaded(data):
    return load_config(data / 'mine.py')


@pytest.fixture
def cfg(loaded):
    return copy.deepcopy(loaded)


@pytest.fixture
def torchvision(monkeypatch):
    """Whatever is installed, torchvision's weights can be had."""
    monkeypatch.setattr(
        preflight.model, 'lacks_torchvision', lambda checkpoint: None
    )


def find(cfg, tmp_path, **options):
    run = TrainingRun(tmp_path / 'work', **options)
    return check_training(cfg, run)


def test_own_config_has_no_findings(cfg, tmp_path):
    findings = find(cfg, tmp_path)
    assert not findings.errors and not findings.warnings
    assert not list(tmp_path.iterdir())


class UpstreamFile(AnnotationFile):
    """Annotations that have the classes of their data set."""

    def __init__(self, path, classes):
        super().__init__(path)
        self.content = dict(
            categories=[dict(name=name) for name in classes],
            annotations=[dict(area=side**2) for side in (9, 50, 200)],
        )


@pytest.mark.parametrize('name', UPSTREAM)
def test_upstream_config_has_no_findings(
    name, data, tmp_path, monkeypatch, torchvision
):
    """As it is meant: on its number of GPUs, with its data."""

    def read_files(cfg, splits, files):
        for split in splits:
            for _, dataset in leaf_datasets(cfg, split):
                path = annotation_path(dataset)
                classes = dataset_classes(dataset)
                if path and classes:
                    files[path] = UpstreamFile(data / 'val.json', classes)

    monkeypatch.setattr(preflight.training, 'check_config', read_files)
    monkeypatch.setattr(preflight.resources, 'get_device', lambda: 'cuda')
    usage = mock.Mock(free=10**15)
    monkeypatch.setattr('shutil.disk_usage', lambda path: usage)
    cfg = load_config(f'mmdet::{name}')
    found = re.search(r'_(\d+)x(?=b?\d+[_-])', name)
    images = cfg.train_dataloader.batch_size
    base = cfg.get('auto_scale_lr', dict(base_batch_size=8 * images))
    gpus = found[1] if found else base['base_batch_size'] // images
    monkeypatch.setenv('WORLD_SIZE', str(gpus))
    findings = find(cfg, tmp_path, launcher='pytorch')
    assert not findings.errors and not findings.warnings


def train_set(cfg):
    return cfg.train_dataloader.dataset


def set_classes(*names):
    def edit(cfg):
        for split in ('train', 'val'):
            dataset = cfg[f'{split}_dataloader'].dataset
            dataset.metainfo = dict(classes=names)
        cfg.model.roi_head.bbox_head.num_classes = len(names)

    return edit


def set_key(path, value):
    def edit(cfg):
        cfg.merge_from_dict({path: copy.deepcopy(value)})

    return edit


ERRORS = [
    (
        set_classes('ship', 'buooy', 'old harbour'),
        r'train_dataloader\.dataset\.metainfo\.classes: there is no category '
        r"buooy \(the nearest is buoy\), .*classes=\('ship', 'buoy', 'old",
    ),
    (
        set_classes('buoy', 'ship', 'old harbour'),
        r'the order is wrong, so that labels would get the names of other',
    ),
    (set_classes('cat'), 'none of the classes cat is a category of .*json'),
    (
        set_key('model.roi_head.bbox_head.num_classes', 2),
        r'model\.roi_head\.bbox_head\.num_classes=2, and .* 3 classes, ship, '
        'buoy, old harbour; set it to 3',
    ),
    (
        set_key('default_hooks.checkpoint.save_best', 'coco/bbox_mAP_smal'),
        r"save_best='coco/bbox_mAP_smal' is no figure .*nearest is "
        "'coco/bbox_mAP_small'",
    ),
    (
        set_key(
            'param_scheduler',
            [dict(type='ReduceOnPlateauLR', monitor='bbox_mAP')],
        ),
        r"param_scheduler\[0\]\.monitor='bbox_mAP' is no figure",
    ),
    (
        set_key('val_evaluator.format_only', True),
        'is no figure of val_evaluator, which gives none',
    ),
    (
        set_key('model.backbone', dict(type='SGEResNet', sge=32)),
        r'model\.backbone\.sge: expected a dict of options such as '
        r'dict\(groups=32\), got 32',
    ),
    (
        set_key('model.backbone', dict(type='SGEResNet', sge_stages=False)),
        r'sge_stages: expected a value for each stage.*got False; for a '
        'backbone without SGE, use the type ResNet',
    ),
    (
        set_key('model.neck.num_outs', 2),
        'model: it cannot be built: AssertionError',
    ),
    (
        set_key('model.neck.numouts', 2),
        'model: it cannot be built: TypeError: .*numouts',
    ),
    (
        set_key('model.backbone.type', 'ResNett'),
        'model: it cannot be built: KeyError: .*ResNett .*; the nearest '
        'type is ResNe',
    ),
    (
        set_key('model.roi_head.bbox_head', dict(_delete_=True)),
        r'model\.roi_head\.bbox_head: no type; name the type',
    ),
    (
        set_key('model.roi_head', dict(_delete_=True, type='StandardRoIHead')),
        r'model\.roi_head: a StandardRoIHead without a "bbox_head" finds no',
    ),
    (
        set_key('load_from', 'nowhere.pth'),
        'load_from: there is no file nowhere.pth',
    ),
    (
        set_key('train_dataloader.dataset.data_prefix.img', ''),
        r'train\.json: there is no image train_000001\.jpg in .*set '
        r'train_dataloader\.dataset\.data_prefix\.img',
    ),
]
WARNINGS = [
    (
        set_classes('ship', 'buoy'),
        r'1 of 3 categories of .*train\.json are not among the classes: old '
        'harbour; their objects count as background',
    ),
    (
        set_classes('ship', 'buoy', 'old harbour', 'gull'),
        'there is no category gull in ',
    ),
    (
        set_key('model.roi_head.bbox_head.num_classes', 80),
        'num_classes=80, .* the others are never learned. Set it to 3',
    ),
    (
        set_key('default_hooks.checkpoint.save_best', 'coco/bbox_mAP_large'),
        r"save_best='coco/bbox_mAP_large': .*val\.json has no object of this "
        r'size \(area of 9216 to .*always -1',
    ),
    (
        set_key('train_dataloader.batch_size', 8),
        'lr=0.0025 is meant for 2 images a step, and this training has 8 '
        r'\(1 x 8\); 0.01 would be in proportion. --auto-scale-lr sets it',
    ),
    (
        set_key(
            'model.backbone',
            dict(
                _delete_=True,
                type='ResNet',
                depth=50,
                base_channels=16,
                stem_channels=16,
                init_cfg=dict(
                    type='Pretrained', checkpoint='torchvision://resnet101'
                ),
            ),
        ),
        'depth=50, and torchvision://resnet101 is of depth 101',
    ),
]


@pytest.mark.parametrize('edit, words', ERRORS)
def test_what_stops_a_training_is_an_error(edit, words, cfg, tmp_path):
    edit(cfg)
    findings = find(cfg, tmp_path)
    assert any(re.search(words, text) for text in findings.errors), findings


@pytest.mark.parametrize('edit, words', WARNINGS)
def test_what_may_not_be_meant_is_a_warning(
    edit, words, cfg, tmp_path, torchvision
):
    edit(cfg)
    with mock.patch.object(
        preflight.resources, '_sets_rate', lambda source: False
    ):
        findings = find(cfg, tmp_path)
    assert not findings.errors
    assert any(re.search(words, text) for text in findings.warnings), findings


def test_weights_that_need_torchvision_name_it(cfg, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'torchvision', None)
    cfg.model.backbone.init_cfg = dict(
        type='Pretrained', checkpoint='torchvision://resnet50'
    )
    (text,) = find(cfg, tmp_path).errors
    assert text == (
        'model.backbone.init_cfg.checkpoint: torchvision://resnet50 needs the '
        'package torchvision, which is not installed; install the torchvision '
        'of your PyTorch, or name a file of weights, or set '
        'model.backbone.init_cfg to None'
    )


def test_weights_of_another_model_are_warned_of(cfg, tmp_path):
    good, other = tmp_path / 'good.pth', tmp_path / 'other.pth'
    state = build_model(cfg).state_dict()
    torch.save(dict(state_dict=state), good)
    torch.save(
        dict(state_dict={f'x.{key}': value for key, value in state.items()}),
        other,
    )
    cfg.load_from = str(good)
    assert not find(cfg, tmp_path).warnings
    cfg.load_from = str(other)
    (text,) = find(cfg, tmp_path).warnings
    assert re.search('load_from: only 0 of the [0-9]+ values', text)


def test_machine_is_checked(cfg, tmp_path, monkeypatch):
    (tmp_path / 'work').write_text('a file')
    findings = find(cfg, tmp_path, amp=True)
    assert 'work is a file; name another one' in findings.errors[1]
    assert findings.errors[0].startswith('--amp needs a GPU, and this machin')
    (tmp_path / 'work').unlink()
    usage = mock.Mock(free=10**8)
    monkeypatch.setattr('shutil.disk_usage', lambda path: usage)
    cfg.train_cfg.max_epochs = 100
    (text,) = find(cfg, tmp_path).warnings
    assert '0.1 GB free, and the 101 checkpoints take about' in text
    usage.free = 1000
    (text,) = find(cfg, tmp_path).errors
    assert 'a checkpoint takes' in text


@pytest.mark.parametrize('indent', [None, 1])
def test_large_files_are_searched_instead_of_parsed(
    indent, data, tmp_path, monkeypatch
):
    content = json.loads((data / 'val.json').read_text())
    content['info'] = {'categories': 'a text', 'note': '"categories": [1]'}
    content = dict(info=content.pop('info'), **content)
    path = tmp_path / 'large.json'
    path.write_text(json.dumps(content, indent=indent))
    whole = AnnotationFile(path)
    monkeypatch.setattr(preflight.annotations, 'WHOLE_FILE_BYTES', 100)
    monkeypatch.setattr('sge_mmdet.utils.json_files.WHOLE_FILE_BYTES', 100)
    large = AnnotationFile(path)
    assert large.content is None and whole.content
    assert large.category_names() == whole.category_names() == [*CLASSES]
    assert large.image_names() == whole.image_names()
    monkeypatch.setattr(preflight.annotations, 'SAMPLE', 1)
    assert large.image_names() == whole.image_names()[:1]
    for limits in ((0, 32**2), (96**2, 1e10)):
        assert large.has_area(limits) == whole.has_area(limits)


def run_tool(config, *options):
    """Run the tool up to the start of MMDetection's own."""
    with mock.patch('sge_mmdet.engine.upstream_tools._run'):
        return run_script('train.py', config, *options)


def test_tool_prints_a_line_for_each_finding(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = data / 'mine.py'
    assert run_tool(config) == (0, '')
    options = [
        '--cfg-options',
        'model.roi_head.bbox_head.num_classes=2',
        'default_hooks.checkpoint.save_best=coco/bbox_mAP_large',
    ]
    code, shown = run_tool(config, *options, '--amp')
    lines = shown.splitlines()
    assert code == 1 and len(lines) == 3
    assert lines[0].startswith('warning: default_hooks.checkpoint.save_best=')
    assert lines[1].startswith(f'error: {config}: model.roi_head.bbox_head.')
    assert lines[2].startswith('error: --amp needs a GPU')
    assert run_tool(config, '--no-preflight', *options) == (0, '')
    with mock.patch.dict(os.environ, RANK='1'):
        assert run_tool(config, *options, '--launcher', 'pytorch')[0] == 0


@pytest.mark.parametrize('option', ['--no-preflight', '--no-pre', '--n'])
def test_checks_are_left_out_by_abbreviations_too(data, option, monkeypatch):
    monkeypatch.chdir(data)
    options = '--cfg-options', 'model.roi_head.bbox_head.num_classes=2'
    passed_on = []
    with mock.patch(
        'sge_mmdet.engine.upstream_tools._run',
        lambda _: passed_on.extend(sys.argv),
    ):
        done = run_script('train.py', data / 'mine.py', option, *options)
    assert done == (0, '')
    assert passed_on and option not in passed_on


def test_resuming_a_training_at_its_end_says_so(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint = tmp_path / 'epoch_1.pth'
    torch.save({}, checkpoint)
    (tmp_path / 'last_checkpoint').write_text(str(checkpoint))
    options = '--no-preflight', '--work-dir', tmp_path, '--resume'
    code, shown = run_tool(data / 'mine.py', *options)
    assert code == 0
    assert f'note: {checkpoint} is the end of this training of 1 ep' in shown
    longer = '--cfg-options', 'train_cfg.max_epochs=2'
    assert run_tool(data / 'mine.py', *options, *longer) == (0, '')
    with mock.patch.dict(os.environ, RANK='1'):
        launched = '--launcher', 'pytorch'
        assert run_tool(data / 'mine.py', *options, *launched) == (0, '')


def test_failure_of_a_check_stops_no_training(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def fail(*args):
        raise KeyError('defect')

    monkeypatch.setattr('sge_mmdet.engine.upstream_tools.check_training', fail)
    code, shown = run_tool(data / 'mine.py')
    assert code == 0 and shown.startswith('warning: the checks before the tr')
    assert "KeyError: 'defect'" in shown


def test_tool_takes_the_name_of_an_upstream_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
    code, shown = run_tool(name)
    assert code == 1 and 'There is no folder data/coco/' in shown
    assert run_tool(name, '--no-preflight') == (0, '')


def test_config_without_a_model_is_named(tmp_path):
    with pytest.raises(ValueError, match='has no model'):
        find(Config(dict()), tmp_path)
