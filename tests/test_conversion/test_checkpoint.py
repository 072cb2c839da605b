import os
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from sge_mmdet import SGEResNet
from sge_mmdet.conversion import convert_checkpoint, convert_state_dict
from tests.helpers import golden
from tests.helpers.old_detectors import old_state_dict
from tests.helpers.scripts import run_script

ROOT = Path(__file__).parents[2]
LEGACY = (
    ROOT
    / 'configs'
    / 'sge'
    / 'legacy'
    / 'faster-rcnn_r50-sge_fpn_clip-2x_legacy_coco.py'
)


@pytest.fixture(autouse=True, scope='module')
def registered():
    register_all_modules()


class Detector(torch.nn.Module):
    """A detector by its names: a backbone and one head."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = MODELS.build(backbone)
        self.bbox_head = torch.nn.Linear(2, 2)


MODELS.register_module(module=Detector, name='DetectorOfTest', force=True)
PLAIN = dict(type='ResNet', depth=18)
WITH_SGE = dict(type='SGEResNet', depth=18)


def detector(backbone):
    return dict(type='DetectorOfTest', backbone=backbone)


def save(path, state, **more):
    torch.save(dict(state_dict=state, **more), path)
    return str(path)


def load(path):
    return torch.load(path, weights_only=True)


def test_authors_classifier_becomes_a_backbone(tmp_path):
    weights = golden.golden_weights(50)
    source = save(
        tmp_path / 'authors.pth',
        {f'module.{key}': value for key, value in weights.items()},
        epoch=100,
        arch='sge_resnet50',
    )
    steps = convert_checkpoint(source, tmp_path / 'new' / 'sge.pth')
    assert steps == [
        'dropped "module." from the keys',
        'dropped fc.weight and fc.bias',
    ]
    state = load(tmp_path / 'new' / 'sge.pth')['state_dict']
    SGEResNet(50).load_state_dict(state, strict=True)
    assert all(torch.equal(state[key], weights[key]) for key in state)


def test_authors_detector_becomes_one_of_today(tmp_path):
    source = save(
        tmp_path / 'old.pth',
        old_state_dict('faster-rcnn'),
        meta=dict(CLASSES=('person', 'bicycle'), config='...'),
        optimizer=dict(state={}),
    )
    steps = convert_checkpoint(
        source, tmp_path / 'new.pth', Config.fromfile(LEGACY)
    )
    assert steps == ['moved heads and background from MMDetection 0.6 to 3.x']
    new = load(tmp_path / 'new.pth')
    assert new.keys() == {'meta', 'state_dict'}
    assert new['meta']['dataset_meta'] == dict(classes=('person', 'bicycle'))


def test_plain_classifier_becomes_the_backbone_of_a_config(tmp_path):
    state = MODELS.build(PLAIN).state_dict()
    state.update(
        {'fc.weight': torch.zeros(10, 512), 'fc.bias': torch.zeros(10)}
    )
    source = tmp_path / 'resnet18.pth'
    torch.save(state, source)
    convert_checkpoint(
        str(source),
        tmp_path / 'new.pth',
        Config(dict(model=detector(WITH_SGE))),
    )
    MODELS.build(WITH_SGE).load_state_dict(
        load(tmp_path / 'new.pth')['state_dict'], strict=True
    )


@pytest.mark.parametrize('backbone', [PLAIN, WITH_SGE], ids=['plain', 'SGE'])
def test_classifier_of_mmpretrain_becomes_a_backbone(tmp_path, backbone):
    state = {
        f'backbone.{key}': value
        for key, value in MODELS.build(backbone).state_dict().items()
    }
    state['head.fc.weight'] = torch.zeros(10, 512)
    source = save(tmp_path / 'epoch_100.pth', state, optimizer=dict(state={}))
    cfg = None
    if backbone is PLAIN:
        cfg = Config(dict(model=detector(WITH_SGE)))
    steps = convert_checkpoint(source, tmp_path / 'new.pth', cfg)
    assert steps[0] == "took the backbone out of MMPretrain's classifier"
    MODELS.build(WITH_SGE).load_state_dict(
        load(tmp_path / 'new.pth')['state_dict'], strict=True
    )


def test_plain_detector_keeps_its_head_and_its_classes(tmp_path):
    plain = MODELS.build(detector(PLAIN)).state_dict()
    source = save(
        tmp_path / 'plain.pth',
        plain,
        optimizer=dict(state={}),
        meta=dict(dataset_meta=dict(classes=('a',)), epoch=12),
    )
    steps = convert_checkpoint(
        source, tmp_path / 'new.pth', Config(dict(model=detector(WITH_SGE)))
    )
    assert steps[0].startswith('added 8 SGE layers')
    new = load(tmp_path / 'new.pth')
    assert new['meta']['dataset_meta'] == dict(classes=('a',))
    assert torch.equal(
        new['state_dict']['bbox_head.weight'], plain['bbox_head.weight']
    )


def test_heads_that_the_model_lacks_are_kept_and_said():
    state = {
        **MODELS.build(detector(PLAIN)).state_dict(),
        'mask_head.weight': torch.zeros(1),
    }
    state, steps = convert_state_dict(state, MODELS.build(detector(WITH_SGE)))
    assert 'mask_head.weight' in state
    assert 'kept 1 that have no place in the model: mask_head.weight' in steps


def test_file_that_is_there_is_replaced_only_when_asked(tmp_path):
    source = save(tmp_path / 'a.pth', golden.golden_weights(18))
    target = tmp_path / 'b.pth'
    target.write_text('mine')
    with pytest.raises(FileExistsError, match=r'b\.pth is there already'):
        convert_checkpoint(source, target)
    assert target.read_text() == 'mine'
    convert_checkpoint(source, target, overwrite=True)
    assert load(target)['state_dict']
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'a.pth',
        'b.pth',
    ]


def test_file_called_partial_and_links_are_left_alone(tmp_path):
    source = save(tmp_path / 'a.pth', golden.golden_weights(18))
    (tmp_path / 'mine').write_text('mine')
    (tmp_path / 'b.pth.partial').symlink_to('mine')
    convert_checkpoint(source, tmp_path / 'b.pth')
    assert (tmp_path / 'mine').read_text() == 'mine'
    assert (tmp_path / 'b.pth.partial').is_symlink()
    (tmp_path / 'c.pth').symlink_to('mine')
    convert_checkpoint(source, tmp_path / 'c.pth', overwrite=True)
    assert (tmp_path / 'mine').read_text() == 'mine'
    assert load(tmp_path / 'c.pth')['state_dict']


def test_source_is_never_replaced(tmp_path):
    source = save(tmp_path / 'a.pth', golden.golden_weights(18))
    os.link(source, tmp_path / 'b.pth')
    for target in 'a.pth', 'b.pth':
        code, shown = run_script(
            'convert_checkpoint.py',
            source,
            '-o',
            tmp_path / target,
            '--overwrite',
        )
        assert code == 1 and f'{target} is an input, ' in shown
    assert 'fc.weight' in load(source)['state_dict']


@pytest.mark.parametrize(
    'state, backbone, words',
    [
        (dict(a=torch.zeros(1)), None, r'have no SGE \(a\); name the config'),
        (
            dict(a=torch.zeros(1)),
            WITH_SGE,
            r'do not fit .* missing: .*bn1.*1 without a place: a',
        ),
        (
            {'a.sge.weight': torch.zeros(1)},
            None,
            'Expected the weights .*a.sge.weight',
        ),
        (
            MODELS.build(dict(PLAIN, depth=34)).state_dict(),
            WITH_SGE,
            'got a ResNet-34',
        ),
        (
            MODELS.build(dict(PLAIN, stem_channels=16)).state_dict(),
            WITH_SGE,
            r'The weights do not fit the \w+ of the config, with \d+ '
            r'differences such as: size mismatch for conv1\.weight: .*Name',
        ),
        (MODELS.build(PLAIN).state_dict(), PLAIN, 'config has no SGE'),
        (dict(a=1), None, 'not a dict of names and tensors'),
        ({1: torch.zeros(1)}, None, 'a dict of names and tensors'),
        (None, None, 'a dict of names and tensors'),
    ],
    ids=[
        'strange',
        'strange for a model',
        'strange with SGE',
        'other depth',
        'other stem',
        'model without SGE',
        'no tensors',
        'no names',
        'nothing',
    ],
)
def test_weights_that_fit_nothing_are_named(tmp_path, state, backbone, words):
    source = save(tmp_path / 'a.pth', state)
    cfg = backbone and Config(dict(model=detector(backbone)))
    with pytest.raises((RuntimeError, ValueError), match=f'a.pth.*{words}'):
        convert_checkpoint(source, tmp_path / 'b.pth', cfg)
    assert not (tmp_path / 'b.pth').exists()


def test_names_of_weights_are_shown_as_text(tmp_path):
    save(tmp_path / 'a.pth', {'\x1b[2Ja': torch.ones(1)})
    with pytest.raises(ValueError, match=r'\?\[2Ja') as refused:
        convert_checkpoint(tmp_path / 'a.pth', tmp_path / 'b.pth')
    assert '\x1b' not in str(refused.value)


@pytest.mark.parametrize(
    'meta', [7, torch.ones(2), [], dict(CLASSES=7), dict()], ids=str
)
def test_meta_that_is_none_is_left_behind(tmp_path, meta):
    torch.save(
        dict(meta=meta, state_dict=MODELS.build(WITH_SGE).state_dict()),
        tmp_path / 'a.pth',
    )
    convert_checkpoint(tmp_path / 'a.pth', tmp_path / 'b.pth')
    assert [*load(tmp_path / 'b.pth')['meta']] == ['converted_from']


def test_trained_sge_of_two_plugins_a_block_is_kept():
    backbone = dict(
        type='ResNet',
        depth=50,
        plugins=[
            dict(cfg=dict(type='SGE', groups=8, postfix=i), position=position)
            for i, position in ((1, 'after_conv2'), (2, 'after_conv3'))
        ],
    )
    model = MODELS.build(detector(backbone))
    state = model.state_dict()
    for key in state:
        if '.sge' in key:
            torch.nn.init.normal_(state[key])
    before = {key: value.clone() for key, value in state.items()}
    converted, steps = convert_state_dict(state, model)
    assert steps == ['nothing had to be changed']
    assert all(torch.equal(converted[key], before[key]) for key in before)


@pytest.mark.parametrize(
    'cfg, words',
    [
        (dict(train_cfg=None), 'has no model'),
        (
            dict(model=dict(backbone=dict(type='ResNet', depth=18))),
            'cannot be built',
        ),
    ],
)
def test_config_that_is_no_detector_is_named(tmp_path, cfg, words):
    source = save(tmp_path / 'a.pth', {'a': torch.zeros(1)})
    with pytest.raises(ValueError, match=words):
        convert_checkpoint(source, tmp_path / 'b.pth', Config(cfg))


def test_shape_that_does_not_fit_is_named():
    state = MODELS.build(detector(PLAIN)).state_dict()
    state['bbox_head.weight'] = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r'size mismatch for bbox_head\.we'):
        convert_state_dict(state, MODELS.build(detector(WITH_SGE)))


def test_tool_converts_and_answers_errors_in_a_line(tmp_path):
    source = save(tmp_path / 'a.pth', golden.golden_weights(18))
    for code, args, words in (
        (0, [source, '-o', tmp_path / 'b.pth'], 'dropped fc.weight'),
        (1, [source, '-o', tmp_path / 'b.pth'], 'error: '),
        (
            1,
            [tmp_path / 'none.pth', '-o', tmp_path / 'c.pth'],
            'none.pth; name a file or a URL',
        ),
    ):
        got, output = run_script('convert_checkpoint.py', *args)
        assert got == code and words in output
