"""The attention that SGE is compared with."""

import pytest
import torch
from mmdet.registry import MODELS
from torch import nn

from sge_mmdet import BAM, CBAM, BAMResNet, SKResNet, SqueezeExcitation
from sge_mmdet.models.baselines import SelectiveKernel

PLUGINS = {
    'SE': SqueezeExcitation,
    'SqueezeExcitation': SqueezeExcitation,
    'CBAM': CBAM,
    'BAM': BAM,
}


def drawn(module):
    with torch.no_grad():
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.5)
    return module.double().eval()


@pytest.mark.parametrize('name', PLUGINS)
def test_plugins_stand_in_every_block_of_a_resnet(name):
    backbone = MODELS.build(
        dict(
            type='ResNet',
            depth=50,
            plugins=[
                dict(cfg=dict(type=f'mmdet.{name}'), position='after_conv3')
            ],
        )
    )
    found = [
        module
        for module in backbone.modules()
        if isinstance(module, PLUGINS[name])
    ]
    assert len(found) == 16
    backbone.eval()
    features = backbone(torch.rand(1, 3, 32, 32))
    assert all(torch.isfinite(feature).all() for feature in features)


def test_cbam_scales_channels_and_then_positions():
    module, x = drawn(CBAM(32)), torch.randn(2, 32, 9, 8).double()
    first, _, second = module.channels

    def shared(v):
        middle = (v @ first.weight[..., 0, 0].T + first.bias).relu()
        return middle @ second.weight[..., 0, 0].T + second.bias

    gate = (shared(x.mean((2, 3))) + shared(x.amax((2, 3)))).sigmoid()
    scaled = x * gate[..., None, None]
    pooled = torch.stack([scaled.amax(1), scaled.mean(1)], 1)
    conv, norm = module.positions.conv, module.positions.bn
    place = nn.functional.conv2d(pooled, conv.weight, padding=3)
    place = place / (1 + norm.eps) ** 0.5 * norm.weight + norm.bias
    torch.testing.assert_close(module(x), scaled * place.sigmoid())


def test_bam_adds_a_scaled_copy():
    module, x = drawn(BAM(32)), torch.randn(2, 32, 12, 11).double()
    gate = (
        module.channels(x.mean((2, 3), keepdim=True)) * module.positions(x)
    ).sigmoid()
    torch.testing.assert_close(module(x), x * (1 + gate))
    assert [
        m.dilation
        for m in module.positions.modules()
        if isinstance(m, nn.Conv2d)
    ] == [(1, 1), (4, 4), (4, 4), (1, 1)]


def test_selective_kernel_weighs_its_branches_to_one():
    module = drawn(SelectiveKernel(32))
    first, second = torch.randn(2, 2, 32, 5, 6).double()
    scores = module.select(
        module.squeeze((first + second).mean((2, 3), keepdim=True))
    )
    share = (scores[:, :32] - scores[:, 32:]).sigmoid()
    torch.testing.assert_close(
        module(first, second), share * first + (1 - share) * second
    )
    torch.testing.assert_close(module(first, first), first)


def test_bam_stands_behind_each_stage_but_the_last():
    names = [
        name
        for name, module in BAMResNet(depth=50).named_modules()
        if isinstance(module, BAM)
    ]
    assert names == ['layer1.bam', 'layer2.bam', 'layer3.bam']


def test_sk_resnet_chooses_in_every_block_and_takes_resnets_weights():
    plain = MODELS.build(dict(type='ResNet', depth=50))
    ours = SKResNet(50)
    lacking = ours.load_state_dict(plain.state_dict(), strict=False)
    assert not lacking.unexpected_keys
    assert all(
        '.wide.' in key or '.select.' in key for key in lacking.missing_keys
    )
    assert (
        sum(isinstance(module, SelectiveKernel) for module in ours.modules())
        == 16
    )


@pytest.mark.parametrize('kind', [SKResNet, BAMResNet])
def test_backbones_take_resnets_options_and_train(kind):
    model = kind(
        depth=50,
        with_cp=True,
        frozen_stages=1,
        norm_eval=True,
        out_indices=(1, 3),
        plugins=[dict(cfg=dict(type='SGE'), position='after_conv3')],
    )
    model.train()
    features = model(torch.rand(1, 3, 64, 64))
    assert [f.shape[1] for f in features] == [512, 2048]
    sum(f.mean() for f in features).backward()
    assert all(
        (p.grad is not None) == p.requires_grad for p in model.parameters()
    )


def test_selective_kernels_need_bottlenecks():
    with pytest.raises(ValueError, match='50, 101 or 152, got depth=18'):
        SKResNet(18)
