"""ImageNet pre-training with MMPretrain, from images to a detector."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch.nn import BatchNorm2d

from sge_mmdet import SpatialGroupEnhance
from sge_mmdet.conversion import convert_checkpoint
from sge_mmdet.engine import load_local_checkpoint

pytest.importorskip(
    'mmpretrain',
    reason="MMPretrain is not installed: pip install -e '.[imagenet]'",
)

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / 'configs' / 'imagenet'
DETECTOR = ROOT / 'configs/sge/faster-rcnn_r50-sge_fpn_clip-2x_coco.py'
SMALL = """
_base_ = {base!r}
model = dict(backbone=dict(base_channels=16),
             head=dict(num_classes=2, in_channels=512, topk=(1, )))
data_preprocessor = dict(num_classes=2)
dataset = dict(data_root={data!r}, metainfo=dict(classes=('a', 'b')))
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False,
                        dataset=dataset)
val_dataloader = train_dataloader
val_evaluator = dict(topk=(1, ))
train_cfg = dict(max_epochs=1)
"""


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Config, checkpoint and output of a run of two steps."""
    root = tmp_path_factory.mktemp('imagenet')
    random = np.random.default_rng(0)
    for folder in ('train/a', 'train/b', 'val/a', 'val/b'):
        (root / folder).mkdir(parents=True)
        for i in range(2):
            image = random.integers(256, size=(64, 64, 3), dtype=np.uint8)
            cv2.imwrite(str(root / folder / f'{i}.jpg'), image)
    config = root / 'small.py'
    config.write_text(
        SMALL.format(
            base=str(FOLDER / 'sge-resnet50_8xb32_in1k.py'), data=str(root)
        )
    )
    done = subprocess.run(
        [
            sys.executable,
            'tests/helpers/without_torchvision.py',
            'tools/train.py',
            config,
            '--auto-scale-lr',
            '--work-dir',
            root / 'work',
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, 'CUDA_VISIBLE_DEVICES': ''},
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return config, root / 'work' / 'epoch_1.pth', output


def build(backbone, **options):
    register_all_modules()
    return MODELS.build({**backbone, **options})


def test_training_moves_sge_and_reports_the_accuracy(trained):
    _, checkpoint, output = trained
    assert 'accuracy/top1: ' in output
    assert 'lr: 7.8125e-04' in output, 'for 2 images of 256'
    state = load_local_checkpoint(checkpoint)['state_dict']
    for stage in range(1, 5):
        assert state[f'backbone.layer{stage}.0.sge.weight'].any()
        assert (state[f'backbone.layer{stage}.0.sge.bias'] != 1).any()
    assert state['head.fc.weight'].shape == (2, 512)


@pytest.mark.parametrize('way', ['as it is', 'converted', 'prefix'])
def test_detector_starts_from_the_classifier(trained, tmp_path, way):
    config, checkpoint, _ = trained
    classifier = build(
        Config.fromfile(config).model.backbone, out_indices=(0, 1, 2, 3)
    )
    classifier.load_state_dict(
        {
            key.partition('.')[2]: value
            for key, value in load_local_checkpoint(checkpoint)[
                'state_dict'
            ].items()
            if key.startswith('backbone.')
        },
        strict=True,
    )
    cfg = Config.fromfile(DETECTOR)
    cfg.merge_from_dict(
        {
            'model.backbone.base_channels': 16,
            'model.backbone.init_cfg.checkpoint': str(checkpoint),
        }
    )
    if way == 'converted':
        cfg.model.backbone.init_cfg.checkpoint = str(tmp_path / 'sge.pth')
        convert_checkpoint(str(checkpoint), tmp_path / 'sge.pth')
    elif way == 'prefix':
        cfg.model.backbone.init_cfg.prefix = 'backbone'
    backbone = build(cfg.model.backbone)
    backbone.init_weights()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        features = classifier.eval()(image), backbone.eval()(image)
    assert len(features[0]) == len(features[1]) == 4
    for ours, theirs in zip(*features):
        assert ours.any()
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    'path', sorted(FOLDER.glob('*.py')), ids=lambda path: path.stem
)
def test_recipe_is_that_of_the_authors(path):
    cfg = Config.fromfile(path)
    optimizer = dict(cfg.optim_wrapper.optimizer)
    optimizer.pop('_scope_')
    assert optimizer == dict(
        type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4
    )
    assert cfg.optim_wrapper.get('paramwise_cfg') is None
    decay = cfg.param_scheduler
    assert (decay.type, decay.milestones, decay.gamma, decay.by_epoch) == (
        'MultiStepLR',
        [30, 60, 90],
        0.1,
        True,
    )
    assert cfg.train_cfg.max_epochs == 100
    gpus, images = 8, cfg.train_dataloader.batch_size
    assert gpus * images == cfg.auto_scale_lr.base_batch_size == 256
    assert f'_{gpus}xb{images}_' in path.name
    _, crop, flip, _ = cfg.train_pipeline
    assert (crop.type, crop.scale) == ('RandomResizedCrop', 224)
    assert (flip.type, flip.prob) == ('RandomFlip', 0.5)
    assert cfg.model.head.loss.type == 'CrossEntropyLoss'
    assert 'label_smooth' not in cfg.pretty_text
    assert cfg.model.backbone.zero_init_residual is False


@pytest.mark.parametrize('depth', [50, 101])
def test_classifier_differs_from_the_plain_one_in_sge_alone(depth):
    plain, ours = (
        Config.fromfile(FOLDER / f'{prefix}resnet{depth}_8xb32_in1k.py')
        for prefix in ('', 'sge-')
    )
    ours = copy.deepcopy(ours.to_dict())
    assert ours.pop('custom_imports') == dict(imports=['sge_mmdet'])
    backbone = ours['model']['backbone']
    assert backbone.pop('type') == 'mmdet.SGEResNet'
    # MMDetection's default, unlike MMPretrain's, is for detectors.
    assert backbone.pop('norm_eval') is False
    backbone['type'] = 'ResNet'
    assert ours == plain.to_dict()
    assert backbone['depth'] == depth


@pytest.mark.parametrize('depth', [50, 101])
def test_all_of_the_backbone_is_trained_from_the_authors_start(depth):
    cfg = Config.fromfile(FOLDER / f'sge-resnet{depth}_8xb32_in1k.py')
    backbone = build(cfg.model.backbone, base_channels=16)
    backbone.init_weights()
    backbone.train()
    assert all(p.requires_grad for p in backbone.parameters())
    norms = [m for m in backbone.modules() if isinstance(m, BatchNorm2d)]
    assert all(norm.training and (norm.weight == 1).all() for norm in norms)
    layers = [
        m for m in backbone.modules() if isinstance(m, SpatialGroupEnhance)
    ]
    assert len(layers) == sum(backbone.stage_blocks)
    assert all(
        (sge.bias == 1).all() and not sge.weight.any() and sge.groups == 64
        for sge in layers
    )
