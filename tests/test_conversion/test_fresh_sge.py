import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import nn
from weights import draw_weights

from sge_mmdet import SpatialGroupEnhance, add_sge
from sge_mmdet.conversion import with_fresh_sge

GN = dict(type='GN', num_groups=32)
BACKBONES = {
    'ResNet-18': dict(type='ResNet', depth=18),
    'ResNet-50': dict(type='ResNet', depth=50),
    'ResNet-50 with GN': dict(type='ResNet', depth=50, norm_cfg=GN),
    'ResNet-50 with GN and WS': dict(
        type='ResNet', depth=50, norm_cfg=GN, conv_cfg=dict(type='ConvWS')),
    'ResNeXt-50': dict(type='ResNeXt', depth=50, groups=32, base_width=4),
    'Res2Net-50': dict(type='Res2Net', depth=50, scales=4, base_width=26),
    'ResNeSt-50': dict(type='ResNeSt', depth=50),
    'RegNetX-800MF': dict(type='RegNet', arch='regnetx_800mf'),
    'TridentNet-50': dict(
        type='TridentResNet', depth=50, num_stages=3, strides=(1, 2, 2),
        dilations=(1, 1, 1), out_indices=(2, ), num_branch=3,
        test_branch_idx=1, trident_dilations=(1, 2, 3)),
}


@pytest.fixture(autouse=True, scope='module')
def registered():
    register_all_modules()


def draw(model):
    """Give a model weights and statistics that all leave their trace."""
    draw_weights(model)
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, (nn.modules.batchnorm._NormBase, nn.GroupNorm)):
            for value in module.parameters(recurse=False):
                value.data.copy_(0.5 * torch.rand(value.shape,
                                                  generator=generator))
        if isinstance(module, nn.modules.batchnorm._NormBase):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    model.eval()
    return model


def flat(outputs):
    """Return all tensors in nested outputs as one vector."""
    if isinstance(outputs, torch.Tensor):
        return outputs.flatten()
    return torch.cat([flat(output) for output in outputs])


def difference(before, after):
    before, after = flat(before), flat(after)
    return float((before - after).abs().max() / before.abs().max())


def converted(cfg, **options):
    """Return a plain model and the same with fresh SGE in it."""
    cfg = Config(dict(model=cfg))
    plain = draw(MODELS.build(cfg.model))
    ours = MODELS.build(add_sge(cfg, **options).model)
    ours.load_state_dict(with_fresh_sge(plain.state_dict(), ours))
    ours.eval()
    assert any(isinstance(part, SpatialGroupEnhance)
               for part in ours.modules())
    return plain, ours


class Detector(nn.Module):
    """As much of a detector as there is between image and features."""

    def __init__(self, backbone, neck=None):
        super().__init__()
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck) if neck else nn.Identity()

    def forward(self, image):
        return self.neck(self.backbone(image))


MODELS.register_module(module=Detector, name='FeaturesOfTest', force=True)


@pytest.mark.parametrize('name', BACKBONES)
@torch.no_grad()
def test_backbone_computes_the_same_with_fresh_sge(name):
    plain, ours = converted(dict(type='FeaturesOfTest',
                                 backbone=BACKBONES[name]))
    image = torch.randn(2, 3, 96, 96)
    assert difference(plain(image), ours(image)) < 1e-5


@pytest.mark.parametrize('position', ['after_conv1', 'after_conv2'])
@torch.no_grad()
def test_other_positions_compute_the_same(position):
    plain, ours = converted(
        dict(type='FeaturesOfTest', backbone=dict(type='ResNet', depth=50)),
        position=position, groups=32)
    image = torch.randn(2, 3, 64, 64)
    assert difference(plain(image), ours(image)) < 1e-5


def test_training_goes_on_from_the_same_losses_and_gradients():
    plain, ours = converted(dict(
        type='FeaturesOfTest',
        backbone=dict(type='ResNet', depth=18, norm_eval=False)))
    image = torch.randn(4, 3, 64, 64)
    gradients = []
    for model in plain.double(), ours.double():
        model.train()
        sum((out**2).mean() for out in model(image.double())).backward()
        gradients.append(model.backbone.conv1.weight.grad)
    assert difference(*gradients) < 1e-5


@pytest.mark.parametrize('options', [
    dict(num_outs=5),
    dict(num_outs=5, start_level=1, add_extra_convs='on_input'),
    dict(num_outs=6, start_level=1, add_extra_convs='on_output'),
    dict(num_outs=6, start_level=1, add_extra_convs='on_output',
         relu_before_extra_convs=True, norm_cfg=GN),
    dict(num_outs=5, start_level=1, add_extra_convs='on_lateral',
         norm_cfg=dict(type='BN')),
], ids=str)
@torch.no_grad()
def test_pyramid_computes_the_same_with_fresh_sge(options):
    plain, ours = converted(
        dict(type='FeaturesOfTest', backbone=dict(type='ResNet', depth=18),
             neck=dict(type='FPN', in_channels=[64, 128, 256, 512],
                       out_channels=64, **options)), where='both')
    for name, value in plain.neck.named_parameters():
        if name.endswith('conv.bias'):
            nn.init.normal_(value)
    ours.load_state_dict(with_fresh_sge(plain.state_dict(), ours))
    image = torch.randn(1, 3, 128, 128)
    assert difference(plain(image), ours(image)) < 1e-5


def test_given_weights_are_not_changed():
    model = MODELS.build(dict(type='SGEResNet', depth=18))
    plain = draw(MODELS.build(dict(type='ResNet', depth=18))).state_dict()
    before = {key: value.clone() for key, value in plain.items()}
    with_fresh_sge(plain, model)
    assert all(torch.equal(plain[key], before[key]) for key in before)
    assert plain.keys() == before.keys()


@pytest.mark.parametrize('backbone, words', [
    (dict(type='SGEResNet', depth=50, sge=dict(weight_init=0.5)),
     'weight_init=0.5'),
    (dict(type='Res2Net', depth=50, scales=4, base_width=26, plugins=[
        dict(cfg=dict(type='SGE', groups=8), position='after_conv2')]),
     "layer1.0.sge has no norm before it .*Bottle2neck.*'after_conv3'"),
    (dict(type='ResNeSt', depth=50, plugins=[
        dict(cfg=dict(type='SGE'), position='after_conv2')]),
     'layer1.0.sge has no norm'),
    (dict(type='SGEResNet', depth=50, plugins=[
        dict(cfg=dict(type='ContextBlock', ratio=0.25),
             position='after_conv3')]),
     'layer1.0.sge stands behind context_block'),
], ids=lambda value: str(value)[:40])
def test_layers_whose_gate_cannot_be_divided_out_are_named(backbone, words):
    model = MODELS.build(backbone)
    with pytest.raises(ValueError, match=words):
        with_fresh_sge(model.state_dict(), model)


def test_missing_norm_is_named():
    model = MODELS.build(dict(type='SGEResNet', depth=18))
    state = MODELS.build(dict(type='ResNet', depth=18)).state_dict()
    del state['layer3.1.bn2.weight']
    with pytest.raises(ValueError, match=r'no layer3.1.bn2.weight, which '
                       r'stands before layer3.1.sge'):
        with_fresh_sge(state, model)


@pytest.mark.parametrize('kind', ['PAFPN', 'ChannelMapper'])
def test_necks_without_such_weights_are_named(kind):
    neck = MODELS.build(dict(type=f'SGE{kind}', in_channels=[8, 16],
                             out_channels=64, num_outs=2))
    with pytest.raises(ValueError, match=f'not in SGE{kind}'):
        with_fresh_sge(neck.state_dict(), neck)
