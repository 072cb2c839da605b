import pytest
import torch
from mmdet.models.backbones import ResNeXt
from mmdet.registry import MODELS
from torch import nn

from sge_mmdet import SGEResNet, SGEResNeXt, SpatialGroupEnhance
from tests.helpers.weights import draw_weights

X50 = dict(depth=50, groups=32, base_width=4)


def layers(model):
    return [
        module
        for module in model.modules()
        if isinstance(module, SpatialGroupEnhance)
    ]


def drawn(cls, **options):
    model = cls(**{**X50, **options})
    draw_weights(model)
    model.eval()
    return model


@pytest.mark.parametrize('depth, count', [(50, 16), (101, 33)])
def test_every_block_has_sge_and_the_registry_knows_it(depth, count):
    with torch.device('meta'):
        model = MODELS.build(
            dict(type='SGEResNeXt', **{**X50, 'depth': depth})
        )
    assert len(layers(model)) == count
    assert model.layer1[0].conv2.groups == 32


@torch.no_grad()
def test_without_sge_stages_it_is_the_plain_resnext():
    plain, ours = drawn(ResNeXt), drawn(SGEResNeXt, sge_stages=(False,) * 4)
    assert ours.state_dict().keys() == plain.state_dict().keys()
    image = torch.randn(1, 3, 64, 64)
    for got, want in zip(ours(image), plain(image)):
        assert torch.equal(got, want)


@torch.no_grad()
def test_sge_stands_between_the_last_norm_and_the_addition():
    """Fresh SGE with a gate of one half halves the residual branch."""
    ours, plain = drawn(SGEResNeXt), drawn(ResNeXt)
    plain.load_state_dict(ours.state_dict(), strict=False)
    for layer in layers(ours):
        nn.init.zeros_(layer.bias)
    for name, module in plain.named_modules():
        if name.startswith('layer') and name.endswith('bn3'):
            module.weight.data /= 2
            module.bias.data /= 2
    image = torch.randn(1, 3, 64, 64)
    for got, want in zip(ours(image), plain(image)):
        torch.testing.assert_close(got, want)


def test_groups_of_sge_and_of_the_convolutions_are_apart():
    model = SGEResNeXt(**X50, sge=dict(groups=(16, 32, 64, 128)))
    got = [
        {layer.groups for layer in layers(getattr(model, name))}
        for name in model.res_layers
    ]
    assert got == [{16}, {32}, {64}, {128}]
    assert model.layer4[0].conv2.groups == 32


def test_gradients_reach_every_parameter_with_checkpointing():
    model = SGEResNeXt(**X50, with_cp=True).train()
    sum(out.mean() for out in model(torch.randn(2, 3, 32, 32))).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_weights_of_another_kind_of_resnet_are_refused():
    state = SGEResNet(depth=50).state_dict()
    with pytest.raises(
        ValueError,
        match=r'layer1.0.conv2.weight: expected the shape .*, '
        r'got \(64, 64, 3, 3\) in the checkpoint',
    ):
        SGEResNeXt(**X50).load_state_dict(state, strict=False)


@pytest.mark.parametrize(
    'options, words',
    [
        (
            dict(depth=18),
            'SGEResNeXt: expected a depth of 50, 101, 152, got depth=18',
        ),
        (dict(sge=dict(groups=(64, 64))), 'one for each of the 4 stages'),
    ],
)
def test_options_that_cannot_be_built_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        SGEResNeXt(**{**X50, **options})
