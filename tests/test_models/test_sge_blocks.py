"""The blocks' end in one pass equals its modules run one by one."""

import copy

import pytest
import torch
from mmcv.cnn import build_norm_layer
from mmengine.model import convert_sync_batchnorm, revert_sync_batchnorm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sge_mmdet import SGEResNet, SGEResNeXt
from sge_mmdet.models.backbones import sge_blocks
from sge_mmdet.models.backbones.sge_blocks import (
    SGEBasicBlock,
    SGEBottleneck,
    SGEResNeXtBottleneck,
    fixed_norm,
)
from sge_mmdet.ops import SpatialGroupEnhance
from sge_mmdet.ops.reference import norm_reference
from tests.helpers.operator_cases import HAS_NATIVE

BLOCKS = {
    'basic': lambda **kwargs: SGEBasicBlock(
        16, 16, sge=dict(groups=4), **kwargs
    ),
    'bottleneck': lambda **kwargs: SGEBottleneck(
        32, 8, sge=dict(groups=4), **kwargs
    ),
    'resnext': lambda **kwargs: SGEResNeXtBottleneck(
        32, 8, sge=dict(groups=4), **{'groups': 2, 'base_width': 64, **kwargs}
    ),
}


def drawn(block):
    """Return a block in float64 with random parameters and statistics."""
    block = block.double()
    with torch.no_grad():
        for tensor in [*block.parameters(), *block.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.1)
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.1)
    return block


def count_calls(monkeypatch):
    calls = []
    real = sge_blocks.SpatialGroupEnhance.forward_residual

    def forward_residual(self, x, identity, norm=None, may_overwrite=False):
        calls.append(norm is not None)
        return real(self, x, identity, norm, may_overwrite)

    monkeypatch.setattr(
        sge_blocks.SpatialGroupEnhance, 'forward_residual', forward_residual
    )
    return calls


def one_by_one(block):
    """Let hooks watch the block's modules, so that each of them runs."""
    for module in block.modules():
        module.register_forward_hook(lambda *_: None)
    return block


def results(block, x):
    x = x.clone().requires_grad_()
    y = block(x)
    y.backward(torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y))
    return [y.detach(), x.grad, *(p.grad for p in block.parameters())]


@pytest.mark.parametrize('name', BLOCKS)
@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('with_cp', [False, True])
def test_one_pass_equals_module_after_module(
    name, training, with_cp, monkeypatch
):
    torch.manual_seed(1)
    block = drawn(BLOCKS[name](with_cp=with_cp)).train(training)
    other = BLOCKS[name]().double().train(training)
    other.load_state_dict(block.state_dict())
    x = torch.randn(2, block.conv1.in_channels, 9, 7, dtype=torch.float64)
    calls = count_calls(monkeypatch)
    got = results(block, x)
    # The norm is part of it only where its statistics stand still.
    assert calls and {*calls} == {not training}
    calls.clear()
    want = results(one_by_one(other), x)
    assert not calls
    for a, b in zip(got, want):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    'plugins, is_fixed',
    [
        ([], True),
        (
            [
                dict(
                    cfg=dict(type='ContextBlock', ratio=1 / 4),
                    position='after_conv3',
                )
            ],
            False,
        ),
        (
            [dict(cfg=dict(type='mmdet.SE', ratio=2), position='after_conv2')],
            True,
        ),
    ],
    ids=['none', 'before SGE', 'elsewhere'],
)
def test_plugins_run_where_they_stand(plugins, is_fixed, monkeypatch):
    block = drawn(BLOCKS['bottleneck'](plugins=plugins)).eval()
    other = BLOCKS['bottleneck'](plugins=plugins).double().eval()
    other.load_state_dict(block.state_dict())
    x = torch.randn(2, 32, 6, 5, dtype=torch.float64)
    calls = count_calls(monkeypatch)
    torch.testing.assert_close(block(x), one_by_one(other)(x))
    assert calls == [is_fixed]


@pytest.mark.parametrize(
    'cfg',
    [
        dict(type='BN'),
        dict(type='SyncBN'),
        dict(type='GN', num_groups=2),
        dict(type='IN'),
        dict(type='BN', requires_grad=False),
    ],
    ids=str,
)
def test_only_batch_norms_in_evaluation_mode_are_fixed(cfg):
    norm = drawn(build_norm_layer(cfg, 8)[1])
    assert fixed_norm(norm.train()) is None
    fixed = fixed_norm(norm.eval())
    if cfg['type'] in ('GN', 'IN'):
        assert fixed is None
        return
    x = torch.randn(2, 8, 3, 3, dtype=torch.float64)
    want = nn.functional.batch_norm(
        x,
        norm.running_mean,
        norm.running_var,
        norm.weight,
        norm.bias,
        eps=norm.eps,
    )
    torch.testing.assert_close(norm_reference(x, fixed), want)
    assert fixed.scale.requires_grad == cfg.get('requires_grad', True)


class DoublingNorm(nn.BatchNorm2d):
    def forward(self, x):
        return 2 * super().forward(x)


class DoublingSGE(sge_blocks.SpatialGroupEnhance):
    def forward(self, x):
        return 2 * super().forward(x)


def shadowed(module):
    """Return a module whose forward an attribute replaces."""
    real = module.forward
    module.forward = lambda x: 2 * real(x)
    return module


@pytest.mark.parametrize(
    'name, replace',
    [
        ('relu', lambda old: nn.LeakyReLU(0.5)),
        ('sge', lambda old: nn.Identity()),
        ('sge', lambda old: DoublingSGE(16, 4)),
        ('sge', shadowed),
        ('bn2', lambda old: DoublingNorm(16)),
        ('bn2', shadowed),
        ('bn2', lambda old: nn.InstanceNorm2d(16)),
    ],
    ids=[
        'LeakyReLU',
        'Identity',
        'SGE subclass',
        'SGE shadowed',
        'norm subclass',
        'norm shadowed',
        'InstanceNorm',
    ],
)
def test_what_is_put_in_place_of_a_module_runs(name, replace):
    block = drawn(BLOCKS['basic']())
    setattr(block, name, replace(getattr(block, name)))
    block.double().eval()
    x = torch.randn(2, 16, 6, 5, dtype=torch.float64)
    out = block.relu(block.bn1(block.conv1(x)))
    want = block.relu(block.sge(block.bn2(block.conv2(out))) + x)
    torch.testing.assert_close(block(x), want)


def test_global_hooks_see_every_module():
    block = drawn(BLOCKS['basic']()).eval()
    seen = []
    handle = nn.modules.module.register_module_forward_hook(
        lambda module, *_: seen.append(type(module).__name__)
    )
    try:
        block(torch.randn(1, 16, 4, 4, dtype=torch.float64))
    finally:
        handle.remove()
    assert seen[-3:] == ['SpatialGroupEnhance', 'ReLU', 'SGEBasicBlock']


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_norms_in_half_precision_are_folded_in_float32(dtype):
    norm = nn.BatchNorm2d(16).eval()
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    norm.running_mean.normal_(30)
    norm = norm.to(dtype)
    x, identity = torch.randn(2, 1, 16, 5, 5).to(dtype)
    sge = SpatialGroupEnhance(16, 4)
    nn.init.normal_(sge.weight)
    got = sge.forward_residual(x, identity, fixed_norm(norm))
    want = sge.double().forward_residual(
        x.double(), identity.double(), fixed_norm(norm.double())
    )
    torch.testing.assert_close(got, want.to(dtype))


def test_norms_that_were_synchronised_once_are_fixed():
    norm = nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm2d(4))
    assert fixed_norm(revert_sync_batchnorm(norm).eval()) is not None


@pytest.mark.parametrize('depth', [18, 50])
def test_config_that_synchronises_norms_keeps_the_one_pass(depth, monkeypatch):
    """As ``sync_bn='torch'`` in a config; its statistics stand still here."""
    plain = drawn(
        SGEResNet(
            depth,
            base_channels=16,
            stem_channels=16,
            sge=dict(groups=4),
            norm_eval=True,
        )
    )
    model = convert_sync_batchnorm(copy.deepcopy(plain), 'torch')
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert {
        type(norm) for norm in model.modules() if isinstance(norm, _BatchNorm)
    } == {nn.SyncBatchNorm}
    image = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    want = plain.train()(image)
    calls = count_calls(monkeypatch)
    got = model.train()(image)
    assert calls == [True] * sum(model.stage_blocks)
    for a, b in zip(got, want):
        torch.testing.assert_close(a, b)


def test_norms_without_statistics_or_affine_are_not_fixed():
    assert fixed_norm(nn.BatchNorm2d(4, affine=False).eval()) is None
    norm = nn.BatchNorm2d(4).eval()
    norm.bias = None
    assert fixed_norm(norm) is None
    assert (
        fixed_norm(nn.BatchNorm2d(4, track_running_stats=False).eval()) is None
    )


@pytest.mark.parametrize(
    'backbone',
    [
        lambda: SGEResNet(18),
        lambda: SGEResNet(50),
        lambda: SGEResNeXt(50, groups=32, base_width=4),
    ],
)
def test_detection_training_runs_every_block_in_one_pass(
    backbone, monkeypatch
):
    calls = count_calls(monkeypatch)
    model = backbone()
    model.norm_eval = True
    model.train()
    model(torch.rand(1, 3, 32, 32))
    assert calls == [True] * sum(model.stage_blocks)


@pytest.mark.parametrize('dtype', [torch.bfloat16])
def test_autocast_trains_in_one_pass_and_keeps_close_to_float32(
    dtype, monkeypatch
):
    torch.manual_seed(0)
    model = SGEResNet(18, norm_eval=True).train()
    model.init_weights()
    image = torch.rand(1, 3, 64, 64)
    want = model(image)
    calls = count_calls(monkeypatch)
    with torch.autocast('cpu', dtype=dtype):
        got = model(image)
    assert calls == [True] * 8
    for a, b in zip(got, want):
        assert (a.float() - b).abs().max() < 0.05 * b.abs().max()


@pytest.mark.parametrize(
    'layout', [torch.contiguous_format, torch.channels_last]
)
@pytest.mark.parametrize('name', BLOCKS)
def test_without_gradients_the_result_is_written_over_the_convolutions(
    monkeypatch, name, layout
):
    """No map is allocated then; nothing else may be written over."""
    block = drawn(BLOCKS[name]()).eval()
    channels = 16 if name == 'basic' else 32
    x = torch.rand(2, channels, 6, 5).double().to(memory_format=layout)
    want, before = block(x).detach(), x.clone()
    seen = []
    real = sge_blocks.end_block

    def end_block(out, *args):
        seen.append((out, real(out, *args)))
        return seen[-1][1]

    monkeypatch.setattr(sge_blocks, 'end_block', end_block)
    with torch.no_grad():
        torch.testing.assert_close(block(x), want)
    assert torch.equal(x, before)
    out, result = seen.pop()
    assert (out is result) == HAS_NATIVE
    # Whoever watches the convolution keeps what it gave.
    kept = []
    conv = block.conv2 if name == 'basic' else block.conv3
    with conv.register_forward_hook(lambda *args: kept.append(args[2])):
        with torch.no_grad():
            torch.testing.assert_close(block(x), want)
    assert not torch.equal(kept[0], want)
    block(x)
    out, result = seen.pop()
    assert out is not result


class _KeepsItsBranch(SGEBottleneck):
    def branch(self, x):
        branch = super().branch(x)
        self.kept = branch.out
        return branch


def _record(function, kept):
    def recorded(*args, **kwargs):
        kept.append(function(*args, **kwargs))
        return kept[-1]

    return recorded


@pytest.mark.parametrize('where', ['branch', 'forward', 'conv2d', 'instance'])
def test_output_that_somebody_recorded_is_not_written_over(monkeypatch, where):
    block = drawn(_KeepsItsBranch(32, 8, sge=dict(groups=4))).eval()
    if where != 'branch':
        block = drawn(BLOCKS['bottleneck']()).eval()
    x = torch.rand(2, 32, 6, 5).double()
    want = block.conv3(
        block.relu(
            block.norm2(block.conv2(block.relu(block.norm1(block.conv1(x)))))
        )
    ).detach()
    kept = []
    owner, name = {
        'forward': (nn.Conv2d, 'forward'),
        'conv2d': (nn.functional, 'conv2d'),
        'instance': (block.conv3, '_conv_forward'),
        'branch': (block.conv3, 'stride'),
    }[where]
    if where != 'branch':
        monkeypatch.setattr(owner, name, _record(getattr(owner, name), kept))
    with torch.no_grad():
        block(x)
    torch.testing.assert_close(
        block.kept if where == 'branch' else kept[-1], want
    )


@pytest.mark.skipif(not HAS_NATIVE, reason='built without a C++ compiler')
def test_a_graph_that_saved_what_is_written_over_raises():
    layer = SpatialGroupEnhance(8, 2)
    x, identity = torch.rand(2, 1, 8, 3, 3)
    saved = x.requires_grad_() * 2
    loss = saved.square().sum()
    with torch.no_grad():
        assert layer.forward_residual(saved, identity, None, True) is saved
    with pytest.raises(RuntimeError, match='modified by an inplace operation'):
        loss.backward()
