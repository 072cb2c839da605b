"""Factors of preserving SGE: without any conversion, and folded away."""

import pytest
import torch
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from torch import nn

from sge_mmdet import insert_sge
from sge_mmdet.conversion import convert_state_dict
from sge_mmdet.ops import SpatialGroupEnhance
from tests.helpers.scripts import load_script, run_script

check = load_script('dev/check_conversions.py')
OPTIONS = dict(preserve=True, groups=16)
FPN_OPTIONS = dict(
    type='FPN', in_channels=[64, 128, 256, 512], out_channels=64
)


@pytest.fixture(autouse=True, scope='module')
def registered():
    register_all_modules()


class Model(nn.Module):
    """A backbone and a neck, by the names that detectors have for them."""

    def __init__(self, backbone, neck=None):
        super().__init__()
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck) if neck else nn.Identity()

    def forward(self, x):
        return self.neck(self.backbone(x))


def pair(backbone, neck=None, preserve=True):
    """Return a plain model and one with SGE, with the plain one's weights."""
    backbone = dict(type='ResNet', **backbone)
    plain = check.draw_weights_and_statistics(Model(backbone, neck))
    sge = dict(OPTIONS, preserve=preserve)
    ours = Model(
        dict(backbone, type='SGEResNet', sge=sge),
        neck and dict(neck, type=f'SGE{neck["type"]}', sge=sge),
    )
    ours.load_state_dict(plain.state_dict(), strict=False)
    ours.eval()
    return plain, ours


def train_a_little(model):
    """Move w and b of every SGE layer, as training does."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, SpatialGroupEnhance):
                for parameter in layer.parameters():
                    parameter += torch.randn(
                        parameter.shape, generator=generator
                    )


def image(size=96):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, size, size, generator=generator)


NECKS = [
    None,
    dict(FPN_OPTIONS, num_outs=5),
    dict(FPN_OPTIONS, num_outs=6, start_level=1, add_extra_convs='on_output'),
    dict(FPN_OPTIONS, num_outs=5, start_level=1, add_extra_convs='on_input'),
]


@pytest.mark.parametrize(
    'neck', [*NECKS, dict(FPN_OPTIONS, type='PAFPN', num_outs=4)], ids=str
)
@pytest.mark.parametrize('depth', [18, 50])
@torch.no_grad()
def test_plain_weights_load_as_they_are_and_compute_the_same(depth, neck):
    if neck and depth == 50:
        neck = dict(neck, in_channels=[256, 512, 1024, 2048])
    plain, ours = pair(dict(depth=depth), neck)
    assert check.relative_difference(plain(image()), ours(image())) < 1e-5


def test_training_goes_on_from_the_same_losses_and_gradients():
    plain, ours = pair(dict(depth=18, norm_eval=False))
    gradients = []
    for model in plain.double(), ours.double():
        model.train()
        loss = sum((y**2).mean() for y in model(image().double()))
        loss.backward()
        gradients.append(model.backbone.conv1.weight.grad)
    assert check.relative_difference(*gradients) < 1e-5


def test_fused_blocks_equal_blocks_module_by_module():
    _, ours = pair(dict(depth=50, frozen_stages=-1))
    train_a_little(ours)
    results = []
    for is_fused in (True, False):
        if not is_fused:
            # Blocks whose SGE has a hook run module by module.
            for layer in ours.modules():
                if isinstance(layer, SpatialGroupEnhance):
                    layer.register_forward_hook(lambda *args: None)
        ours.zero_grad()
        outputs = ours(image())
        sum((y**2).mean() for y in outputs).backward()
        results.append(
            [*outputs, *(p.grad.clone() for p in ours.parameters())]
        )
    assert check.relative_difference(*results) < 1e-4


@pytest.mark.parametrize('neck', NECKS, ids=str)
@torch.no_grad()
def test_folded_weights_compute_the_same(neck):
    _, ours = pair(dict(depth=18), neck)
    train_a_little(ours)
    state, steps = convert_state_dict(ours.state_dict(), ours, fold=True)
    want = ours(image())
    assert not any(key.endswith('factor') for key in state)
    assert 'factors of SGE' in steps[0]
    for preserve in (True, False):
        _, other = pair(dict(depth=18), neck, preserve=preserve)
        other.load_state_dict(state, strict=True)
        assert check.relative_difference(want, other(image())) < 1e-5


@torch.no_grad()
def test_factors_of_inserted_sge_are_folded():
    def build():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 32, 3),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, bias=False),
            ConvModule(32, 32, 3, norm_cfg=dict(type='BN')),
        )

    places = ['1', '3', '4']
    ours = insert_sge(build(), places, 8, preserve=True).eval()
    train_a_little(ours)
    want = ours(image())
    # Each channel may have a factor of its own.
    ours[1].sge.factor[:] *= torch.linspace(0.5, 2, 32)
    changed = ours(image())
    assert check.relative_difference(want, changed) > 0.01
    folded = check_folded(ours)
    other = insert_sge(build(), places, 8).eval()
    other.load_state_dict(folded)
    assert check.relative_difference(changed, other(image())) < 1e-5


def check_folded(model):
    from sge_mmdet.conversion.function_preserving import with_folded_factors

    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = with_folded_factors(model.state_dict(), model)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    return state


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        (
            lambda: insert_sge(
                nn.Sequential(nn.Conv2d(3, 32, 1), nn.GELU()), '1', 8,
                preserve=True, out_channels=32,
            ),
            r'1\.sge in a GELU has no norm before it',
        ),
        (
            lambda: insert_sge(
                nn.Sequential(nn.BatchNorm2d(32, affine=False)), '0', 8,
                preserve=True,
            ),
            r'0\.sge in a EnhancedLayer has no norm',
        ),
        (lambda: nn.Sequential(SpatialGroupEnhance(8, 2)), 'no factors'),
    ],
    ids=['activation', 'norm without scale', 'no factor'],
)  # fmt: skip
def test_factors_that_cannot_be_folded_are_named(model, message):
    with pytest.raises(ValueError, match=message):
        check_folded(model())


def test_necks_of_other_kinds_cannot_be_folded():
    neck = dict(FPN_OPTIONS, type='PAFPN', num_outs=4)
    _, ours = pair(dict(depth=18), neck)
    with pytest.raises(ValueError, match='not in SGEPAFPN'):
        convert_state_dict(ours.state_dict(), ours, fold=True)


def test_folding_needs_the_model():
    _, ours = pair(dict(depth=18))
    with pytest.raises(ValueError, match='--config'):
        convert_state_dict(ours.state_dict(), fold=True)


@torch.no_grad()
def test_conversion_for_preserving_sge_adds_the_initial_state():
    plain, _ = pair(dict(depth=18))
    _, ours = pair(dict(depth=18))
    state, steps = convert_state_dict(plain.state_dict(), ours)
    assert steps[-1] == 'added 8 SGE layers, which preserve the function'
    for key, value in plain.state_dict().items():
        assert torch.equal(state[key], value)
    ours.load_state_dict(state, strict=True)
    assert check.relative_difference(plain(image()), ours(image())) < 1e-5


@pytest.mark.parametrize(
    'backbone',
    [
        dict(type='Res2Net', depth=50, scales=4, base_width=26),
        dict(type='ResNet', depth=50),
    ],
    ids=lambda cfg: cfg['type'],
)
@pytest.mark.parametrize('position', ['after_conv2', 'after_conv3'])
@torch.no_grad()
def test_plugins_preserve_the_function_anywhere(backbone, position):
    # Behind conv2 of Res2Net no norm precedes SGE.
    sge = dict(
        cfg=dict(type='SGE', groups=4, preserve=True), position=position
    )
    plain = check.draw_weights_and_statistics(MODELS.build(backbone))
    ours = MODELS.build(dict(backbone, plugins=[sge]))
    ours.load_state_dict(plain.state_dict(), strict=False)
    ours.eval()
    assert check.relative_difference(plain(image()), ours(image())) < 1e-5


def test_the_tool_folds(tmp_path):
    (tmp_path / 'cfg.py').write_text(
        "custom_imports = dict(imports=['sge_mmdet'])\n"
        "_base_ = 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'\n"
        'sge = dict(preserve=True)\n'
        "model = dict(backbone=dict(type='SGEResNet', sge=sge))\n"
    )
    from mmengine.config import Config

    cfg = Config.fromfile(tmp_path / 'cfg.py')
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'a.pth')
    code, output = run_script(
        'convert_checkpoint.py', tmp_path / 'a.pth', '--config',
        tmp_path / 'cfg.py', '--fold', '-o', tmp_path / 'b.pth',
    )  # fmt: skip
    assert code == 0 and 'multiplied 8 factors' in output
    state = torch.load(tmp_path / 'b.pth')['state_dict']
    assert not any(key.endswith('.factor') for key in state)
    code, output = run_script(
        'convert_checkpoint.py', tmp_path / 'a.pth', '--fold', '-o',
        tmp_path / 'c.pth',
    )  # fmt: skip
    assert code == 1 and '--config' in output
