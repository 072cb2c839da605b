import pytest
import torch
from mmcv.cnn import build_plugin_layer
from mmdet.registry import MODELS
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope

from sge_mmdet import SpatialGroupEnhance
from sge_mmdet.ops import spatial_group_enhance
from tests.helpers.weights import draw_weights

POSITIONS = ('after_conv1', 'after_conv2', 'after_conv3')
# Every backbone of MMDetection that takes plugins, at its smallest.
BACKBONES = {
    'ResNet': dict(depth=50),
    'ResNetV1d': dict(depth=50),
    'ResNeXt': dict(depth=50, groups=32, base_width=4),
    'Res2Net': dict(depth=50, scales=4, base_width=26),
    'ResNeSt': dict(depth=50),
    'RegNet': dict(arch='regnetx_800mf'),
    'DetectoRS_ResNet': dict(
        depth=50, conv_cfg=dict(type='ConvAWS'), output_img=False
    ),
    'DetectoRS_ResNeXt': dict(depth=50, groups=32, base_width=4),
    'TridentResNet': dict(
        depth=50,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
        num_branch=3,
        test_branch_idx=1,
        trident_dilations=(1, 2, 3),
    ),
}


def plugin(position, **options):
    return dict(cfg=dict(type='SGE', **options), position=position)


def test_layer_computes_the_operator_with_its_parameters():
    layer = SpatialGroupEnhance(
        12, 3, eps=0.1, normalize=False, weight_init=0.5, bias_init=-2
    )
    x = torch.randn(2, 12, 5, 5)
    want = spatial_group_enhance(
        x,
        torch.full((1, 3, 1, 1), 0.5),
        torch.full((1, 3, 1, 1), -2.0),
        3,
        0.1,
        False,
    )
    assert torch.equal(layer(x), want)


def test_new_layer_scales_by_the_sigmoid_of_one():
    x = torch.randn(2, 64, 5, 5)
    torch.testing.assert_close(
        SpatialGroupEnhance(64)(x), x * torch.tensor(1.0).sigmoid()
    )


def test_init_weights_restores_the_initial_values():
    layer = SpatialGroupEnhance(8, 4, weight_init=0.25, bias_init=2)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    layer.init_weights()
    assert (layer.weight == 0.25).all() and (layer.bias == 2).all()


@pytest.mark.parametrize(
    'options, error, words',
    [
        (
            dict(in_channels=96, groups=64),
            ValueError,
            'groups=64 for 96 channels; nearest that work: 48 and 96',
        ),
        (
            dict(in_channels=64, eps='a'),
            TypeError,
            "got eps='a' of type str; pass a float such as 1e-5",
        ),
        (
            dict(in_channels=64, eps=0),
            ValueError,
            'eps must be positive, got 0',
        ),
    ],
)
def test_bad_options_are_refused_when_the_layer_is_built(
    options, error, words
):
    with pytest.raises(error, match=words):
        SpatialGroupEnhance(**options)


def test_weights_of_another_number_of_groups_are_refused():
    state = SpatialGroupEnhance(64, 32).state_dict()
    with pytest.raises(ValueError, match=r'32 groups.*model has 64'):
        SpatialGroupEnhance(64, 64).load_state_dict(state, strict=False)


@pytest.mark.parametrize('scope', [None, 'mmengine', 'mmdet', 'other'])
@pytest.mark.parametrize('name', ['SGE', 'SpatialGroupEnhance'])
def test_plugin_is_found_whatever_the_default_scope(scope, name):
    with DefaultScope.overwrite_default_scope(scope):
        built_name, layer = build_plugin_layer(
            dict(type=name, groups=8), in_channels=16
        )
    assert (built_name, type(layer)) == ('sge', SpatialGroupEnhance)


@pytest.mark.parametrize(
    'name', ['SGE', 'mmdet.SGE', 'sge_mmdet.models.SpatialGroupEnhance']
)
def test_both_registries_know_the_layer(name):
    for registry in (MODELS, ROOT_MODELS):
        assert registry.get(name) is SpatialGroupEnhance


@pytest.mark.parametrize('position', POSITIONS)
@pytest.mark.parametrize('name', BACKBONES)
def test_every_backbone_that_takes_plugins_takes_sge(name, position):
    cfg = dict(
        BACKBONES[name], type=name, plugins=[plugin(position, groups=2)]
    )
    backbone = MODELS.build(cfg)
    backbone.init_weights()
    draw_weights(backbone)
    backbone.eval()
    layers = {
        key: module
        for key, module in backbone.named_modules()
        if isinstance(module, SpatialGroupEnhance)
    }
    assert layers and all(key.endswith('.sge') for key in layers)
    calls = []
    for layer in layers.values():
        layer.register_forward_hook(lambda *args: calls.append(args[0]))
    with torch.no_grad():
        features = backbone(torch.randn(1, 3, 64, 64))
    assert all(torch.isfinite(feature).all() for feature in features)
    assert set(calls) == set(layers.values())
