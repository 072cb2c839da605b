from pathlib import Path

import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper

from sge_mmdet import SGEResNet
from sge_mmdet.datasets import DigitsOptions, make_digits

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(path for path in (ROOT / 'configs').rglob('*.py')
                 if '_base_' not in path.parts)
COCO = [path for path in CONFIGS if path.name.endswith('_coco.py')]


@pytest.fixture(scope='module')
def batch(tmp_path_factory):
    """Two images of the demo's data with boxes and masks."""
    register_all_modules()
    root = tmp_path_factory.mktemp('data') / 'digits'
    make_digits(root, DigitsOptions(train_images=2, val_images=1,
                                    image_size=128, max_objects=6))
    dataset = DATASETS.build(dict(
        type='CocoDataset', data_root=str(root),
        ann_file='annotations/train.json', data_prefix=dict(img='train/'),
        metainfo=dict(classes=tuple('0123456789')),
        pipeline=[dict(type='LoadImageFromFile'),
                  dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
                  dict(type='Resize', scale=(128, 128), keep_ratio=True),
                  dict(type='PackDetInputs')]))
    return pseudo_collate([dataset[0], dataset[1]])


def build(path):
    cfg = Config.fromfile(path)
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    model.init_weights()
    return cfg, model


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_config_builds_trains_and_predicts(path, batch):
    torch.manual_seed(0)
    cfg, model = build(path)
    assert isinstance(model.backbone, SGEResNet)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    losses = model.train().train_step(batch, optimizer)
    assert torch.isfinite(losses['loss'])
    changed = {name for name, p in model.named_parameters()
               if not torch.equal(p, before[name])}
    assert any('.sge.' in name for name in changed)
    results = model.eval().test_step(batch)
    assert len(results) == 2
    for result in results:
        assert torch.isfinite(result.pred_instances.bboxes).all()
        assert ('masks' in result.pred_instances) == path.stem.startswith(
            'mask-rcnn')


@pytest.mark.parametrize('path', COCO, ids=lambda path: path.stem)
def test_coco_config_differs_from_its_base_in_the_backbone_alone(path):
    ours = Config.fromfile(path).to_dict()
    name = path.stem.replace('-sge', '')
    family = name.split('_')[0].replace('-', '_')
    stock = Config.fromfile(f'{mim_configs()}/{family}/{name}.py').to_dict()
    assert ours.pop('custom_imports') == dict(imports=['sge_mmdet'])
    assert ours['model']['backbone'].pop('type') == 'SGEResNet'
    assert stock['model']['backbone'].pop('type') == 'ResNet'
    assert without_scope(ours) == without_scope(stock)


def mim_configs():
    import mmdet
    return Path(mmdet.__file__).parent / '.mim' / 'configs'


def without_scope(value):
    if isinstance(value, dict):
        return {key: without_scope(item) for key, item in value.items()
                if key != '_scope_'}
    if isinstance(value, (list, tuple)):
        return [without_scope(item) for item in value]
    return value


@pytest.mark.parametrize('name', ['SGEResNet', 'sge_mmdet.SGEResNet'])
def test_type_alone_turns_a_stock_config_into_one_with_sge(name):
    cfg = Config.fromfile(
        f'{mim_configs()}/retinanet/retinanet_r18_fpn_1x_coco.py')
    cfg.merge_from_dict({'model.backbone.type': name})
    cfg.model.backbone.init_cfg = None
    register_all_modules()
    assert isinstance(MODELS.build(cfg.model).backbone, SGEResNet)
