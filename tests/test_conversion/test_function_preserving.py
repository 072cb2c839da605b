import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from sge_mmdet import SpatialGroupEnhance
from sge_mmdet.conversion import find_config, with_function_preserving_sge
from tests.helpers.scripts import load_script

check = load_script('dev/check_conversions.py')
GN = dict(type='GN', num_groups=8)


@pytest.fixture(autouse=True, scope='module')
def registered():
    register_all_modules()


def converted(backbone, neck=None, **options):
    """Return a plain model and the same with fresh SGE in it."""
    cfg = Config(
        dict(model=dict(type=check.Features, backbone=backbone, neck=neck))
    )
    plain, ours = check.convert_plain(cfg, **options)
    assert any(
        isinstance(part, SpatialGroupEnhance) for part in ours.modules()
    )
    return plain, ours


def difference(plain, ours, size=96):
    image = torch.randn(2, 3, size, size)
    return check.relative_difference(plain(image), ours(image))


@pytest.mark.parametrize('name', check.BACKBONES)
@torch.no_grad()
def test_backbone_computes_the_same_with_fresh_sge(name):
    assert difference(*converted(check.BACKBONES[name])) < 1e-5


@pytest.mark.parametrize(
    'path', check.DETECTORS.values(), ids=lambda path: path.split('/')[-1]
)
@torch.no_grad()
def test_detector_computes_the_same_with_fresh_sge(path):
    cfg = Config.fromfile(find_config(f'mmdet::{path}'))
    plain, ours = check.convert_plain(cfg, where='both')
    image = torch.randn(1, 3, 128, 128)
    assert check.compare_detectors(plain, ours, image) < 1e-5


@pytest.mark.parametrize('position', ['after_conv1', 'after_conv2'])
@torch.no_grad()
def test_other_positions_compute_the_same(position):
    plain, ours = converted(
        dict(type='ResNet', depth=50), position=position, groups=32
    )
    assert difference(plain, ours) < 1e-5


def test_training_goes_on_from_the_same_losses_and_gradients():
    plain, ours = converted(dict(type='ResNet', depth=18, norm_eval=False))
    image = torch.randn(4, 3, 64, 64)
    gradients = []
    for model in plain.double(), ours.double():
        model.train()
        sum((out**2).mean() for out in model(image.double())).backward()
        gradients.append(model.backbone.conv1.weight.grad)
    assert check.relative_difference(*gradients) < 1e-5


@pytest.mark.parametrize(
    'options',
    [
        dict(num_outs=5),
        dict(num_outs=5, start_level=1, add_extra_convs='on_input'),
        dict(num_outs=6, start_level=1, add_extra_convs='on_output'),
        dict(
            num_outs=6,
            start_level=1,
            add_extra_convs='on_output',
            relu_before_extra_convs=True,
            norm_cfg=GN,
        ),
        dict(
            num_outs=5,
            start_level=1,
            add_extra_convs='on_lateral',
            norm_cfg=dict(type='BN'),
        ),
    ],
    ids=str,
)
@torch.no_grad()
def test_pyramid_computes_the_same_with_fresh_sge(options):
    neck = dict(
        type='FPN', in_channels=[64, 128, 256, 512], out_channels=64, **options
    )
    plain, ours = converted(dict(type='ResNet', depth=18), neck, where='both')
    assert difference(plain, ours, size=256) < 1e-5


def test_given_weights_are_not_changed():
    model = MODELS.build(dict(type='SGEResNet', depth=18))
    plain = MODELS.build(dict(type='ResNet', depth=18)).state_dict()
    before = {key: value.clone() for key, value in plain.items()}
    with_function_preserving_sge(plain, model)
    assert all(torch.equal(plain[key], before[key]) for key in before)
    assert plain.keys() == before.keys()


@pytest.mark.parametrize(
    'backbone, words',
    [
        (
            dict(type='SGEResNet', depth=50, sge=dict(weight_init=0.5)),
            'weight_init=0.5',
        ),
        (
            dict(
                type='Res2Net',
                depth=50,
                scales=4,
                base_width=26,
                plugins=[
                    dict(
                        cfg=dict(type='SGE', groups=8), position='after_conv2'
                    )
                ],
            ),
            "layer1.0.sge in a Bottle2neck has no norm .*'after_conv3'",
        ),
        (
            dict(
                type='ResNeSt',
                depth=50,
                plugins=[dict(cfg=dict(type='SGE'), position='after_conv2')],
            ),
            'layer1.0.sge in a .* has no norm',
        ),
        (
            dict(
                type='SGEResNet',
                depth=50,
                plugins=[
                    dict(
                        cfg=dict(type='ContextBlock', ratio=0.25),
                        position='after_conv3',
                    )
                ],
            ),
            'layer1.0.sge follows context_block',
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_layers_whose_gate_cannot_be_divided_out_are_named(backbone, words):
    model = MODELS.build(backbone)
    with pytest.raises(ValueError, match=words):
        with_function_preserving_sge(model.state_dict(), model)


def test_missing_norm_is_named():
    model = MODELS.build(dict(type='SGEResNet', depth=18))
    state = MODELS.build(dict(type='ResNet', depth=18)).state_dict()
    del state['layer3.1.bn2.weight']
    with pytest.raises(
        ValueError,
        match=r'no layer3.1.bn2.weight, which '
        r'layer3.1.sge follows',
    ):
        with_function_preserving_sge(state, model)


@pytest.mark.parametrize('kind', ['PAFPN', 'ChannelMapper'])
def test_necks_without_such_weights_are_named(kind):
    neck = MODELS.build(
        dict(
            type=f'SGE{kind}', in_channels=[8, 16], out_channels=64, num_outs=2
        )
    )
    with pytest.raises(ValueError, match=f'not in SGE{kind}'):
        with_function_preserving_sge(neck.state_dict(), neck)
