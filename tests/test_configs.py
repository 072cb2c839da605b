import copy
import functools
import re
from pathlib import Path

import pytest
import torch
import yaml
from mmdet.registry import DATASETS, MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper

from sge_mmdet import SGEResNet, SpatialGroupEnhance
from sge_mmdet.datasets import DigitsOptions, make_digits
from sge_mmdet.utils import upstream_path

ROOT = Path(__file__).parents[1]
# Those of the paper's detectors; tests/test_imagenet.py has the classifiers',
# tests/test_detector_configs.py those of other detectors.
CONFIGS = sorted(
    path
    for path in (ROOT / 'configs').rglob('*.py')
    if not {'_base_', 'detectors', 'imagenet'} & {*path.parts}
    and not path.name.startswith('rtmdet')
)
FAMILIES = ['detectors', 'imagenet', 'sge']
COCO = [path for path in CONFIGS if path.name.endswith('_coco.py')]


@pytest.fixture(scope='module')
def batch(tmp_path_factory):
    """Two images of the demo's data with boxes and masks."""
    register_all_modules()
    root = tmp_path_factory.mktemp('data') / 'digits'
    make_digits(
        root,
        DigitsOptions(
            train_images=2, val_images=1, image_size=128, max_objects=6
        ),
    )
    dataset = DATASETS.build(
        dict(
            type='CocoDataset',
            data_root=str(root),
            ann_file='annotations/train.json',
            data_prefix=dict(img='train/'),
            metainfo=dict(classes=tuple('0123456789')),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
                dict(type='Resize', scale=(128, 128), keep_ratio=True),
                dict(type='PackDetInputs'),
            ],
        )
    )
    return pseudo_collate([dataset[0], dataset[1]])


# What differs in more than depth, recipe and starting weights is trained.
RUN = [
    path
    for path in CONFIGS
    if 'digits' in path.name
    or 'x101-32x4d-sge_fpn_1x' in path.name
    or (
        '_r50' in path.name
        and path.parent.name != 'ablation'
        and ('1x_' in path.name or 'legacy' in path.name)
    )
]


@functools.lru_cache(maxsize=None)
def load(path):
    """Return a config, which nobody changes."""
    return Config.fromfile(path)


def build(path, change=lambda model: None):
    cfg = copy.deepcopy(load(path))
    cfg.model.backbone.init_cfg = None
    change(cfg.model)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return cfg, model


def with_few_proposals(model):
    """Let the second stage, which SGE does not touch, take little time."""
    if 'roi_head' not in model:
        return
    train, test = model.train_cfg, model.test_cfg
    for proposals in train.rpn_proposal, test.rpn:
        proposals.max_per_img = 40
    stages = train.rcnn if isinstance(train.rcnn, list) else [train.rcnn]
    for stage in stages:
        stage.sampler.num = 16


def is_sge(module):
    return isinstance(module, SpatialGroupEnhance)


def has_sge(module):
    return any(map(is_sge, module.modules()))


def check_ablation(layer, backbone):
    """Check a layer's options against the backbone in its config's name."""
    name = backbone.rpartition('-sge-')[2]
    groups = re.fullmatch(r'g(\d+)', name)
    start = re.fullmatch(r'w(\d)-b(\d)', name)
    # A quarter of the width has as many channels in a group.
    usual = 16 if '-w16-' in backbone else 64
    assert layer.groups == (int(groups[1]) if groups else usual)
    assert layer.normalize == (name not in ('no-norm', 'unnormalized'))
    assert (layer.factor is None) == (name != 'preserved')
    assert (layer.weight_init, layer.bias_init) == (
        tuple(map(float, start.groups())) if start else (0, 1)
    )


@pytest.mark.parametrize('path', RUN, ids=lambda path: path.stem)
def test_config_trains_and_predicts(path, batch):
    cfg, model = build(path, with_few_proposals)
    # Mixed precision needs a GPU.
    optimizer = build_optim_wrapper(
        model, {**cfg.optim_wrapper, 'type': 'OptimWrapper'}
    )
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    losses = model.train().train_step(batch, optimizer)
    assert torch.isfinite(losses['loss'])
    changed = {
        name
        for name, p in model.named_parameters()
        if not torch.equal(p, before[name])
    }
    assert any('.sge.' in name for name in changed) == ('sge' in path.stem)
    results = model.eval().test_step(batch)
    assert len(results) == 2
    for result in results:
        assert torch.isfinite(result.pred_instances.bboxes).all()
        assert ('masks' in result.pred_instances) == path.stem.startswith(
            'mask-rcnn'
        )


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_config_builds_and_its_name_says_where_sge_is(path):
    cfg = copy.deepcopy(load(path))
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    backbone, neck = path.stem.split('_')[1:3]
    assert has_sge(model.backbone) == ('-sge' in backbone)
    for layer in filter(is_sge, model.backbone.modules()):
        check_ablation(layer, backbone)
    for name, kind in ATTENTION.items():
        assert any(
            type(part).__name__ == kind for part in model.backbone.modules()
        ) == backbone.endswith(f'-{name}')
    assert has_sge(model.neck) == ('sge-' in neck)
    depth = int(backbone.split('-')[0][1:])
    assert model.backbone.depth == depth
    assert cfg.get('custom_imports') == (
        dict(imports=['sge_mmdet'])
        if 'sge' in path.stem
        # For their metric and their runner.
        or path.stem.endswith(('digits', 'digits-small', 'bccd'))
        or backbone.rpartition('-')[2] in ATTENTION
        else None
    )


@pytest.mark.parametrize(
    'name, stages, position',
    [
        ('c5', '4', None),
        ('c4-c5', '34', None),
        ('c3-c5', '234', None),
        ('conv1', '1234', 'after_conv1'),
        ('conv2', '1234', 'after_conv2'),
    ],
)
def test_ablation_has_sge_where_its_name_says(name, stages, position):
    path = ROOT / (
        f'configs/sge/ablation/faster-rcnn_r50-sge-{name}_fpn_1x_coco.py'
    )
    with torch.device('meta'):
        backbone = MODELS.build(copy.deepcopy(load(path)).model.backbone)
    for stage in '1234':
        block = getattr(backbone, f'layer{stage}')[0]
        assert has_sge(block) == (stage in stages)
        if position:
            assert len(getattr(block, f'{position}_plugin_names')) == 1


# What the paper compares with, as its configs' names have it.
ATTENTION = {
    'se': 'SqueezeExcitation',
    'sk': 'SelectiveKernel',
    'bam': 'BAM',
    'cbam': 'CBAM',
    'gc': 'ContextBlock',
}

# What may differ between a config with SGE and its plain counterpart.
SGE_KEYS = {
    'custom_imports.imports',
    'model.backbone.type',
    'model.backbone.plugins',
    'model.backbone.sge',
    'model.neck.type',
}


@pytest.mark.parametrize(
    'path',
    [
        path
        for path in COCO
        if 'sge' in path.stem and 'legacy' not in path.stem
    ],
    ids=lambda path: path.stem,
)
def test_config_differs_from_its_plain_counterpart_in_sge_alone(path):
    name = re.sub(r'-sge[\w-]*?_', '_', path.stem).replace('sge-fpn', 'fpn')
    plain = path.with_name(f'{name}.py')
    is_recipe = plain.is_file()  # else it is one of MMDetection's own
    if not is_recipe:
        family = name.split('_')[0].replace('-', '_')
        plain = upstream_path('configs', family, f'{name}.py')
    ours, theirs = (flat(load(file).to_dict()) for file in (path, plain))
    different = {
        re.sub(r'(model.backbone.sge).*', r'\1', key)
        for key in {*ours, *theirs}
        if ours.get(key) != theirs.get(key)
    }
    # The paper's recipe starts from ImageNet weights of the same backbone.
    weights = 'model.backbone.init_cfg.checkpoint'
    assert different <= SGE_KEYS | {weights}
    assert (weights in different) == (is_recipe and 'x101' not in path.stem)
    assert different & SGE_KEYS > {'custom_imports.imports'}


@pytest.mark.parametrize(
    'path',
    [path for path in COCO if '_clip-' in path.stem],
    ids=lambda path: path.stem,
)
def test_recipe_is_that_of_the_authors(path):
    cfg = load(path)
    epochs, steps = (
        (20, [16, 19]) if path.stem.startswith('cascade') else (24, [16, 22])
    )
    warmup, decay = cfg.param_scheduler
    assert cfg.train_cfg.max_epochs == decay.end == epochs
    assert (decay.milestones, decay.gamma) == (steps, 0.1)
    assert (warmup.start_factor, warmup.end, warmup.by_epoch) == (
        1 / 3,
        500,
        False,
    )
    assert cfg.optim_wrapper.clip_grad == dict(max_norm=35, norm_type=2)
    assert flat(cfg.optim_wrapper.optimizer) == dict(
        type='SGD',
        momentum=0.9,
        weight_decay=1e-4,
        lr=0.01 if path.stem.startswith('retinanet') else 0.02,
    )
    assert cfg.auto_scale_lr.base_batch_size == 16
    backbone = cfg.model.backbone
    assert (backbone.style, backbone.norm_eval, backbone.frozen_stages) == (
        'pytorch',
        True,
        1,
    )
    if 'retinanet' not in path.stem:
        test = cfg.model.test_cfg
        assert test.rpn.nms_pre == test.rpn.max_per_img == 2000
        assert (
            test.rcnn.score_thr,
            test.rcnn.nms.iou_threshold,
            test.rcnn.max_per_img,
        ) == (0.05, 0.5, 100)
    resize, flip = cfg.train_pipeline[-3:-1]
    assert (resize.scale, resize.keep_ratio, flip.prob) == (
        (1333, 800),
        True,
        0.5,
    )


def test_family_has_every_detector_depth_and_schedule():
    names = {path.stem for path in COCO}
    for detector, epochs in (
        ('faster-rcnn', '2x'),
        ('mask-rcnn', '2x'),
        ('cascade-rcnn', '20e'),
        ('retinanet', '2x'),
    ):
        for depth in 'r50', 'r101':
            assert {
                f'{detector}_{depth}-sge_fpn_1x_coco',
                f'{detector}_{depth}-sge_fpn_clip-{epochs}_coco',
                f'{detector}_{depth}_fpn_clip-{epochs}_coco',
                f'{detector}_{depth}-sge_fpn_clip-{epochs}_legacy_coco',
            } <= names


def flat(value, prefix=''):
    """Return {path: value} of nested dicts, without their scopes."""
    if not isinstance(value, dict):
        return {prefix[:-1]: unscoped(value)}
    return {
        path: item
        for key, part in value.items()
        if key != '_scope_'
        for path, item in flat(part, f'{prefix}{key}.').items()
    }


def unscoped(value):
    if isinstance(value, (list, tuple)):
        return [unscoped(item) for item in value]
    return flat(value) if isinstance(value, dict) else value


def metafile(family):
    return yaml.safe_load(
        (ROOT / 'configs' / family / 'metafile.yml').read_text()
    )


def test_index_names_every_family():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert index == dict(
        Import=[f'configs/{family}/metafile.yml' for family in FAMILIES]
    )
    names = {metafile(family)['Collections'][0]['Name'] for family in FAMILIES}
    assert len(names) == len(FAMILIES)


@pytest.mark.parametrize('family', FAMILIES)
def test_metafile_lists_every_config_with_its_epochs(family):
    if family == 'imagenet':
        pytest.importorskip(
            'mmpretrain',
            reason="its configs inherit MMPretrain's, which is not installed",
        )
    meta = metafile(family)
    (collection,) = meta['Collections']
    assert (ROOT / collection['README']).is_file()
    listed = {model['Config']: model for model in meta['Models']}
    assert {ROOT / name for name in listed} == {
        *(ROOT / 'configs' / family).rglob('*.py')
    }
    for name, model in listed.items():
        assert model['Name'] == Path(name).stem
        assert model['In Collection'] == collection['Name']
        if 'convnext' in name:
            # Its base imports MMPretrain, which needs torchvision.
            continue
        length = load(ROOT / name).train_cfg
        assert model['Metadata'] == (
            dict(Epochs=length.max_epochs)
            if 'max_epochs' in length
            else dict(Iterations=length.max_iters)
        )
        for result in model.get('Results', ()):
            assert 'paper' in result['Source'].lower()


@pytest.mark.parametrize('family', FAMILIES)
def test_readme_of_the_family_lists_every_config_and_the_papers_figures(
    family,
):
    folder = ROOT / 'configs' / family
    text = (folder / 'README.md').read_text()
    for path in folder.rglob('*.py'):
        assert f']({path.relative_to(folder)})' in text
    for model in metafile(family)['Models']:
        for result in model.get('Results', ()):
            row = next(
                line
                for line in text.splitlines()
                if f'{model["Name"]}.py)' in line
            )
            (figure,) = result['Metrics'].values()
            assert float(row.partition('.py) |')[2].split('|')[0]) == figure


@pytest.mark.parametrize('name', ['SGEResNet', 'sge_mmdet.SGEResNet'])
def test_type_alone_turns_a_upstream_config_into_one_with_sge(name):
    cfg = Config.fromfile(
        upstream_path('configs', 'retinanet', 'retinanet_r18_fpn_1x_coco.py')
    )
    cfg.merge_from_dict({'model.backbone.type': name})
    cfg.model.backbone.init_cfg = None
    register_all_modules()
    assert isinstance(MODELS.build(cfg.model).backbone, SGEResNet)
