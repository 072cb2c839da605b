import copy
import inspect
import pickle
import subprocess
import sys

import pytest
import torch
from mmdet.models import backbones, necks
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules

from sge_mmdet import SGEFPN, SGEResNet, SpatialGroupEnhance
from sge_mmdet.conversion.parts import build_without_weights
from sge_mmdet.models import generated
from sge_mmdet.registry import MODELS as OWN_MODELS

pytestmark = pytest.mark.filterwarnings('ignore:insert_sge.*single channel')
CSPNEXT = dict(
    type='SGECSPNeXt', widen_factor=0.25, deepen_factor=0.34, out_indices=(4,)
)


@pytest.fixture(autouse=True, scope='module')
def registered():
    register_all_modules()


def sge_layers(module):
    return {
        name: part
        for name, part in module.named_modules()
        if isinstance(part, SpatialGroupEnhance)
    }


@pytest.mark.parametrize('name', backbones.__all__ + necks.__all__)
def test_every_backbone_and_neck_has_a_type(name):
    cls = MODELS.get(f'SGE{name}')
    plain = MODELS.get(name)
    assert issubclass(cls, plain) and cls is not plain
    assert cls.__doc__ and 'sge' in inspect.signature(cls).parameters
    assert pickle.loads(pickle.dumps(cls)) is cls


def test_types_written_by_hand_stay():
    assert MODELS.get('SGEResNet') is SGEResNet
    assert MODELS.get('SGEFPN') is SGEFPN


@pytest.mark.parametrize(
    'cfg, ends, channels',
    [
        (CSPNEXT, 'conv2.sge', [16, 32, 64, 128]),
        (
            dict(type='SGECSPDarknet', widen_factor=0.25, deepen_factor=0.33),
            'conv2.sge',
            [16, 32, 64, 128],
        ),
        (dict(type='SGEDarknet', depth=53), 'conv2.sge', [64, 128, 256]),
        (
            dict(type='SGEMobileNetV2', widen_factor=0.25),
            'linear_conv.sge',
            [8, 16, 24, 40, 80],
        ),
        (
            dict(type='SGEEfficientNet', arch='b0'),
            'linear_conv.sge',
            [24, 40, 80, 112, 192],
        ),
        (
            dict(
                type='SGEHourglassNet',
                downsample_times=1,
                num_stacks=1,
                stage_channels=(16, 16),
                stage_blocks=(1, 1),
                feat_channel=16,
            ),
            'bn2.sge',
            [16],
        ),
        (
            dict(type='SGERes2Net', depth=50, scales=4, base_width=26),
            'bn3.sge',
            [256, 512, 1024, 2048],
        ),
        (
            dict(
                type='SGESwinTransformer', embed_dims=48, depths=(1, 1, 1, 1)
            ),
            'sge',
            [48, 96, 192, 384],
        ),
        (
            dict(
                type='SGEPyramidVisionTransformerV2',
                embed_dims=8,
                num_layers=[1, 1, 1, 1],
            ),
            'sge',
            [8, 16, 40, 64],
        ),
        (
            dict(
                type='SGESSDVGG',
                depth=11,
                ceil_mode=True,
                out_indices=(3,),
                out_feature_indices=(10,),
            ),
            'sge',
            [256],
        ),
    ],
    ids=lambda value: value['type'] if isinstance(value, dict) else '',
)
def test_default_place_of_a_family(cfg, ends, channels):
    module = build_without_weights(cfg)
    layers = sge_layers(module)
    assert layers
    for name in layers:
        end = name.rsplit('.', 1)[0] if name[-1].isdigit() else name
        assert end.endswith(ends)
    found = {layer.in_channels for layer in layers.values()}
    assert {*channels} <= found


def test_options_say_where_sge_goes_and_how():
    backbone = MODELS.build(
        dict(
            CSPNEXT,
            sge=dict(groups=8, eps=1e-3, after='stage4.0', preserve=True),
        )
    )
    ((name, layer),) = sge_layers(backbone).items()
    assert name == 'stage4.0.sge'
    assert (layer.groups, layer.eps) == (8, 1e-3)
    outputs = MODELS.build(dict(CSPNEXT, sge=dict(after='outputs')))
    assert [*sge_layers(outputs)] == ['sge.0']


def test_resnet_takes_sge_behind_its_outputs():
    backbone = MODELS.build(
        dict(type='SGEResNet', depth=18, sge=dict(after='outputs', groups=8))
    )
    layers = sge_layers(backbone)
    assert [*layers] == ['sge.0', 'sge.1', 'sge.2', 'sge.3']
    assert {layer.groups for layer in layers.values()} == {8}


@pytest.mark.parametrize(
    'cfg, inputs',
    [
        (
            dict(type='SGEYOLOXPAFPN', in_channels=[8, 16], out_channels=8),
            [8, 16],
        ),
        (
            dict(
                type='SGESSDNeck',
                in_channels=(8, 16),
                out_channels=(8, 16, 32),
                level_strides=(2,),
                level_paddings=(1,),
            ),
            [8, 16],
        ),
        (
            dict(
                type='SGECTResNetNeck',
                in_channels=8,
                use_dcn=False,
                num_deconv_filters=(16,),
                num_deconv_kernels=(4,),
            ),
            [8],
        ),
        (
            dict(type='SGEBFP', in_channels=8, num_levels=3, refine_level=1),
            [8, 8, 8],
        ),
        (
            dict(
                type='SGEDilatedEncoder',
                in_channels=8,
                out_channels=16,
                block_mid_channels=8,
                num_residual_blocks=2,
                block_dilations=(1, 2),
            ),
            [8],
        ),
        (
            dict(
                type='SGEYOLOV3Neck',
                num_scales=2,
                in_channels=[16, 8],
                out_channels=[16, 8],
            ),
            [8, 16],
        ),
    ],
    ids=lambda value: value['type'] if isinstance(value, dict) else '',
)
def test_neck_runs_with_sge_on_all_of_its_maps(cfg, inputs):
    plain = MODELS.build(dict(cfg, type=cfg['type'][3:])).eval()
    for parameter in plain.parameters():
        # SSDNeck leaves the weight of its norm as the memory was.
        torch.nn.init.uniform_(parameter, -0.5, 0.5)
    neck = MODELS.build(dict(cfg, sge=dict(preserve=True))).eval()
    neck.load_state_dict(plain.state_dict(), strict=False)
    maps = [
        torch.rand(1, channels, 16 >> i, 16 >> i)
        for i, channels in enumerate(inputs)
    ]
    with torch.no_grad():
        before, after = plain(maps), neck(maps)
    assert len(sge_layers(neck)) == len(before) == len(after)
    for one, other in zip(before, after):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-5)


def test_instances_survive_copies_and_pickles_in_another_process(tmp_path):
    backbone = MODELS.build(CSPNEXT).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = backbone(image)[0]
        assert torch.equal(copy.deepcopy(backbone)(image)[0], expected)
    head = MODELS.build(
        dict(type='SGERetinaHead', num_classes=2, in_channels=8)
    )
    torch.save(dict(model=backbone, head=head), tmp_path / 'whole.pth')
    script = (
        'import sys, torch, sge_mmdet; '
        'held = torch.load(sys.argv[1], weights_only=False); '
        'print(*(type(one).__name__ for one in held.values()))'
    )
    shown = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', script, tmp_path / 'whole.pth'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.split() == ['SGECSPNeXt', 'SGERetinaHead']


@pytest.mark.parametrize(
    'registry', [MODELS, OWN_MODELS], ids=['mmdet', 'own']
)
@pytest.mark.parametrize(
    'name, near',
    [
        ('SGECSPNext', "'SGECSPNeXt'"),
        ('SGEcspnext', "'SGECSPNeXt'"),
        ('SGESwinTransfomer', "'SGESwinTransformer'"),
        ('SGEYOLOXPAFNP', "'SGEYOLOXPAFPN'"),
    ],
)
def test_mistyped_name_suggests_the_nearest(registry, name, near):
    words = f'no type {name!r}; the nearest is {near}'
    with pytest.raises(KeyError) as raised:
        registry.build(dict(type=name))
    assert words in raised.value.args[0]


def test_name_without_a_neighbour_is_explained():
    with pytest.raises(KeyError, match='goes before the name of a backbone'):
        generated.find_type('SGEXyzzy')
    assert MODELS.get('SGEXyzzy') is None


@pytest.mark.parametrize(
    'cfg, words',
    [
        (dict(CSPNEXT, sge=64), 'expected a dict of options'),
        (dict(CSPNEXT, sge=dict(after='stage9.*')), 'stage9'),
        (dict(CSPNEXT, sge=dict(group=3)), 'group'),
        (
            dict(type='SGEDyHead', in_channels=16, out_channels=16),
            r'out_channels=\[256\] \* 5',
        ),
        (
            dict(type='SGEShared2FCBBoxHead', num_classes=2),
            'no stack of convolutions',
        ),
    ],
)
def test_wrong_options_are_explained(cfg, words):
    with pytest.raises((TypeError, ValueError), match=words):
        MODELS.build(cfg)


def test_backbones_of_other_packages_get_a_type():
    @MODELS.register_module()
    class TwoConvs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 8, 3, stride=8)

        def forward(self, x):
            return (self.conv(x),)

    try:
        built = MODELS.build(dict(type='SGETwoConvs'))
        assert [*sge_layers(built)] == ['sge.0']
    finally:
        MODELS.module_dict.pop('TwoConvs')
        MODELS.module_dict.pop('SGETwoConvs')
        vars(generated).pop('SGETwoConvs')
