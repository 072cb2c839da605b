"""insert_sge: places, keys, and what else is done to a model."""

import copy
import io
import pickle
import warnings
from typing import NamedTuple

import pytest
import torch
from mmcv.cnn import ConvModule
from mmdet.models.backbones import CSPNeXt, HRNet, ResNet
from mmdet.models.necks import FPN
from mmengine.model import (
    ExponentialMovingAverage,
    constant_init,
    convert_sync_batchnorm,
    revert_sync_batchnorm,
)
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.runner import load_checkpoint, save_checkpoint
from mmengine.runner.checkpoint import get_state_dict, load_state_dict
from torch import nn
from torch.utils.checkpoint import checkpoint

import sge_mmdet
from sge_mmdet.ops import SpatialGroupEnhance, insert_sge, use_backend
from tests.helpers.operator_cases import exportable

pytestmark = pytest.mark.filterwarnings('ignore:insert_sge')


class Block(nn.Module):
    """A residual block as those of HRNet and Hourglass."""

    def __init__(self, channels=32, with_cp=False):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.with_cp = with_cp

    def forward(self, x):
        if self.with_cp and x.requires_grad:
            return checkpoint(self.run, x, use_reentrant=False)
        return self.run(x)

    def run(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x
        return self.relu(out)


class Maps(nn.Module):
    """Returns what a function makes of two maps."""

    def __init__(self, combine):
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3)
        self.second = nn.Conv2d(16, 32, 3)
        self.combine = combine

    def forward(self, x):
        first = self.first(x)
        return self.combine(first, self.second(first))


class Pair(NamedTuple):
    low: torch.Tensor
    high: torch.Tensor


def net(**options):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3), Block(**options), nn.MaxPool2d(2), Block()
    )


def enhanced(after='*.bn2', groups=8, draw=True, **options):
    model = insert_sge(net(), after, groups, **options)
    if draw:
        draw_sge(model)
    return model


def draw_sge(model, seed=1):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in layers(model):
            for parameter in layer.parameters():
                parameter.copy_(
                    torch.randn(parameter.shape, generator=generator)
                )
    return model


def layers(model):
    return [m for m in model.modules() if isinstance(m, SpatialGroupEnhance)]


def image(seed=0):
    return torch.randn(
        2, 3, 18, 20, generator=torch.Generator().manual_seed(seed)
    )


def by_hand(model, block=1):
    """Run a block of a model with SGE behind its bn2, step by step."""
    part = model[block]

    def run(x):
        out = part.relu(part.bn1(part.conv1(x)))
        out = part.bn2.sge(part.bn2.inner(part.conv2(out)))
        return part.relu(out + x)

    return run


def test_the_package_offers_it():
    assert sge_mmdet.insert_sge is insert_sge


def test_keys_of_existing_weights_stay_in_their_order():
    plain = list(net().state_dict())
    for after, places in (
        ('*.bn2', ['1.bn2', '3.bn2']),
        ('*.conv1', ['1.conv1', '3.conv1']),
        (['1', '3'], ['1', '3']),
    ):
        model = enhanced(after)
        keys = list(model.state_dict())
        added = [
            f'{place}.sge.{key}'
            for place in places
            for key in ('weight', 'bias')
        ]
        assert [key for key in keys if key not in added] == plain
        assert [key for key in keys if key in added] == added
        assert list(get_state_dict(model)) == keys


def test_sge_runs_between_the_norm_and_the_addition():
    model = enhanced().eval()
    x = model[0](image())
    torch.testing.assert_close(model[1](x), by_hand(model)(x))
    assert not torch.equal(model[1](x), net().eval()[1](x))


@pytest.mark.parametrize('training', [True, False])
def test_gradients_equal_those_of_the_reference_in_float64(training):
    model = enhanced(preserve=True).train(training)
    want = copy.deepcopy(model).double()
    results = []
    for one, backend in ((model, None), (want, 'reference')):
        x = image().to(next(one.parameters()).dtype).requires_grad_()
        with use_backend(backend):
            y = one(x)
            y.square().sum().backward()
        results.append([y, x.grad, *(p.grad for p in one.parameters())])
    for got, expected in zip(*results):
        scale = float(expected.detach().abs().max())
        torch.testing.assert_close(
            got.double(), expected, rtol=1e-4, atol=2e-5 * max(1.0, scale)
        )


def test_weights_load_with_and_without_sge(tmp_path):
    model = enhanced()
    plain, full = net().state_dict(), model.state_dict()
    for load in (
        lambda one, state: one.load_state_dict(state, strict=False),
        lambda one, state: load_state_dict(one, state, strict=False),
    ):
        other = enhanced(draw=False)
        load(other, plain)
        for key, value in plain.items():
            assert torch.equal(other.state_dict()[key], value)
    other = enhanced(draw=False)
    assert other.load_state_dict(plain, strict=False).missing_keys == [
        f'{place}.bn2.sge.{key}'
        for place in '13'
        for key in ('weight', 'bias')
    ]
    other.load_state_dict(full)
    assert torch.equal(other.eval()(image()), model.eval()(image()))
    file = str(tmp_path / 'a.pth')
    save_checkpoint(dict(state_dict=get_state_dict(model)), file)
    other = enhanced(draw=False)
    load_checkpoint(other, file, strict=True)
    assert torch.equal(other.eval()(image()), model.eval()(image()))


def test_missing_and_unexpected_keys_have_the_names_of_the_state_dict():
    model = enhanced()
    state = model.state_dict()
    del state['1.bn2.weight'], state['3.bn2.running_mean']
    state['1.bn2.other'] = state['3.sge.weight'] = torch.ones(1)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert missing == ['1.bn2.weight', '3.bn2.running_mean']
    assert {key.replace('inner.', '') for key in unexpected} == {
        '1.bn2.other',
        '3.sge.weight',
    }


def test_weights_before_num_batches_tracked_load():
    state = {
        key: value
        for key, value in net().state_dict().items()
        if not key.endswith('num_batches_tracked')
    }
    missing = enhanced().load_state_dict(state, strict=False).missing_keys
    assert all('.sge.' in key for key in missing)


@pytest.mark.parametrize('after', ['*.bn2', '*.conv2', ['1', '3'], None])
def test_copies_and_pickles_compute_the_same(after):
    model = enhanced(after).eval()
    want = model(image())
    stored = io.BytesIO()
    torch.save(model, stored)
    stored.seek(0)
    for other in (
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        torch.load(stored, weights_only=False),
    ):
        assert torch.equal(other(image()), want)
        # The copy has layers of its own.
        draw_sge(other, seed=5)
        assert not torch.equal(other(image()), want)
        assert torch.equal(model(image()), want)


@pytest.mark.parametrize('update_buffers', [True, False])
def test_moving_averages_of_weights_follow(update_buffers):
    model = enhanced(preserve=True).eval()
    average = ExponentialMovingAverage(
        model, momentum=0.5, update_buffers=update_buffers
    )
    average.update_parameters(model)
    before = [layer.weight.clone() for layer in layers(model)]
    draw_sge(model, seed=3)
    average.update_parameters(model)
    for layer, new, old in zip(layers(average.module), layers(model), before):
        torch.testing.assert_close(layer.weight, (old + new.weight) / 2)
        assert torch.equal(layer.factor, new.factor)
    average.module.load_state_dict(model.state_dict())
    assert torch.equal(average(image()), model(image()))


@pytest.mark.parametrize('after', ['*.bn2', '*.conv2', ['1', '3']])
def test_synchronised_norms_and_back(after):
    model = enhanced(after).eval()
    want = model(image())
    keys = list(model.state_dict())
    for convert in (
        nn.SyncBatchNorm.convert_sync_batchnorm,
        convert_sync_batchnorm,
    ):
        converted = convert(copy.deepcopy(model))
        assert isinstance(converted.get_submodule('1.bn1'), nn.SyncBatchNorm)
        assert list(converted.state_dict()) == keys
        back = revert_sync_batchnorm(converted)
        assert torch.equal(back.eval()(image()), want)


@pytest.mark.parametrize('after', ['*.bn2', '*.bn1'])
def test_fused_convolutions_keep_sge(after):
    from mmcv.cnn.utils import fuse_conv_bn

    model = enhanced(after).eval()
    want = model(image())
    fused = fuse_conv_bn(copy.deepcopy(model))
    assert len(layers(fused)) == len(layers(model))
    torch.testing.assert_close(fused(image()), want)


def test_gradient_checkpoints_compute_the_same():
    results = []
    for with_cp in (False, True):
        model = net(with_cp=with_cp)
        draw_sge(insert_sge(model, '*.bn2', 8, preserve=True))
        y = model(image())
        y.square().sum().backward()
        results.append([y, *(p.grad for p in model.parameters())])
    for a, b in zip(*results):
        torch.testing.assert_close(a, b)


def test_block_of_mmdet_with_cp_computes_the_same():
    results = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        backbone = ResNet(18, with_cp=with_cp, frozen_stages=-1)
        draw_sge(insert_sge(backbone, '*.bn2', 16))
        backbone.train()
        loss = sum(y.square().mean() for y in backbone(image()))
        loss.backward()
        results.append([p.grad for p in backbone.parameters()])
    for a, b in zip(*results):
        torch.testing.assert_close(a, b)


def test_distributed_training_uses_every_parameter(tmp_path):
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{tmp_path / "store"}', rank=0,
        world_size=1,
    )  # fmt: skip
    try:
        model = enhanced(preserve=True)
        parallel = nn.parallel.DistributedDataParallel(
            model, find_unused_parameters=False
        )
        for _ in range(2):
            parallel(image()).square().sum().backward()
        assert all(p.grad is not None for p in model.parameters())
    finally:
        torch.distributed.destroy_process_group()


def test_autocast_to_bfloat16():
    model = enhanced(preserve=True)
    want = model(image())
    with torch.autocast('cpu', torch.bfloat16):
        got = model(image())
    got.float().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    torch.testing.assert_close(got.float(), want, rtol=0.1, atol=0.3)


@pytest.mark.parametrize('after', ['*.bn2', ['1', '3'], None])
def test_compiles_as_one_graph(after):
    model = enhanced(after, preserve=True).eval()
    x = image()
    compiled = torch.compile(
        model, fullgraph=True, dynamic=False, backend='aot_eager'
    )
    torch.testing.assert_close(compiled(x), model(x))
    y = compiled(x.requires_grad_())
    y.sum().backward()


@pytest.mark.parametrize('combine', [Pair, lambda a, b: dict(a=a, b=b)])
def test_several_outputs_compile_as_one_graph(combine):
    model = insert_sge(Maps(combine).eval(), groups=8, example=image())
    compiled = torch.compile(
        model, fullgraph=True, dynamic=False, backend='aot_eager'
    )
    got, want = compiled(image()), model(image())
    assert type(got) is type(want)
    for a, b in zip(*map(maps_in, (got, want))):
        torch.testing.assert_close(a, b)


def maps_in(output):
    return output.values() if isinstance(output, dict) else output


@pytest.mark.parametrize('after', ['*.bn2', ['1', '3']])
@exportable
def test_exports_as_a_program(after):
    model = enhanced(after, preserve=True).eval()
    program = torch.export.export(model, (image(),)).module()
    torch.testing.assert_close(program(image()), model(image()))


@pytest.mark.parametrize('dynamo', [False, True])
def test_export_to_onnx(dynamo, tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    if dynamo:
        pytest.importorskip('onnxscript')
    model = enhanced(['1.bn2', '3'], preserve=True).eval()
    file = str(tmp_path / 'model.onnx')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            model, (image(),), file, opset_version=18, dynamo=dynamo,
            input_names=['x'],
        )  # fmt: skip
    (got,) = onnxruntime.InferenceSession(file).run(
        None, dict(x=image().numpy())
    )
    torch.testing.assert_close(
        torch.tensor(got), model(image()).detach(), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    'combine',
    [
        lambda a, b: (a, b),
        lambda a, b: [a, b],
        Pair,
        lambda a, b: dict(low=a, high=b),
    ],
    ids=['tuple', 'list', 'namedtuple', 'dict'],
)
def test_each_output_has_its_own_layer(combine):
    plain = Maps(combine)
    want = plain(image())
    model = draw_sge(
        insert_sge(copy.deepcopy(plain), groups=8, example=image())
    )
    got = model(image())
    assert type(got) is type(want)
    names = ['low', 'high'] if isinstance(want, dict) else ['0', '1']
    assert list(model.sge) == names
    for name, a, b in zip(names, maps_in(got), maps_in(want)):
        assert torch.equal(a, model.sge[name](b))
    assert f'sge.{names[1]}.bias' in model.state_dict()


def test_chosen_outputs_alone_are_enhanced():
    plain = Maps(lambda a, b: (a, b, 7))
    want = plain(image())
    for options in (
        dict(example=image()),
        dict(out_channels=(16, 32, 1)),
    ):
        model = insert_sge(
            copy.deepcopy(plain), groups=8, outputs=[1], **options
        )
        first, second, number = model(image())
        assert number == 7 and torch.equal(first, want[0])
        assert torch.equal(second, model.sge['1'](want[1]))
        assert list(model.sge) == ['1']


def test_pyramids_tell_their_channels():
    neck = insert_sge(FPN([8, 16], 32, num_outs=3), groups=8)
    outputs = neck([torch.rand(1, 8, 8, 8), torch.rand(1, 16, 4, 4)])
    assert len(neck.sge) == len(outputs) == 3


def test_the_example_leaves_statistics_and_modes_alone():
    model = net().train()
    model[1].bn1.eval()
    before = copy.deepcopy(model.state_dict())
    insert_sge(model, ['1', '3'], 8, example=image())
    assert model[1].training and not model[1].bn1.training
    after = model.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert not model[3].bn2._forward_hooks


def test_predicates_choose_places():
    model = insert_sge(
        net(), lambda name, part: isinstance(part, nn.BatchNorm2d), 8
    )
    assert len(layers(model)) == 4


def test_groups_are_the_largest_divisor():
    model = insert_sge(nn.Sequential(nn.Conv2d(3, 36, 1)), '0', groups=16)
    assert layers(model)[0].groups == 12


def test_options_device_and_type_reach_the_layers():
    model = net().double()
    insert_sge(model, '*.bn2', 8, eps=1e-3, normalize=False, bias_init=2)
    layer = layers(model)[0]
    assert layer.weight.dtype == torch.float64 and not layer.normalize
    assert layer.eps == 1e-3 and float(layer.bias.mean()) == 2
    meta = insert_sge(net().to('meta'), '*.bn2', 8, preserve=True)
    assert all(v.is_meta for v in meta.state_dict().values())


def test_shared_modules_share_their_layer():
    conv = nn.Conv2d(8, 8, 1)
    model = insert_sge(nn.Sequential(conv, nn.ReLU(), conv), ['0', '2'], 4)
    assert model[0] is model[2] and len(layers(model)) == 1
    other = nn.Sequential(conv, nn.ReLU(), conv)
    other.load_state_dict(
        {k: v for k, v in model.state_dict().items() if 'sge' not in k}
    )


@pytest.mark.filterwarnings('default:insert_sge')
def test_single_channel_groups_warn_once():
    extra = dict(
        stage1=dict(num_modules=1, num_branches=1, block='BOTTLENECK',
                    num_blocks=(1,), num_channels=(64,)),
        stage2=dict(num_modules=1, num_branches=2, block='BASIC',
                    num_blocks=(1, 1), num_channels=(18, 36)),
        stage3=dict(num_modules=1, num_branches=3, block='BASIC',
                    num_blocks=(1, 1, 1), num_channels=(18, 36, 72)),
        stage4=dict(num_modules=1, num_branches=4, block='BASIC',
                    num_blocks=(1, 1, 1, 1), num_channels=(18, 36, 72, 144)),
    )  # fmt: skip
    backbone = HRNet(extra)
    with pytest.warns(UserWarning, match='18 channels') as caught:
        insert_sge(backbone, 'stage?.*.branches.*.bn2')
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        insert_sge(HRNet(extra), 'stage?.*.branches.*.bn2', groups=9)
    assert backbone(torch.rand(1, 3, 64, 64))[0].shape[1] == 18


def test_norms_of_detectors_stay_norms():
    backbone = ResNet(18, norm_eval=True, frozen_stages=1)
    insert_sge(backbone, '*.bn2', 16)
    backbone.train()
    block = backbone.layer1[0]
    assert not block.norm2.inner.training
    assert not any(p.requires_grad for p in backbone.layer1.parameters())
    assert backbone.layer2[0].bn2.sge.weight.requires_grad
    # zero_init_residual sets the scale of the norm.
    constant_init(backbone.layer2[0].norm2, 0)
    assert float(backbone.layer2[0].bn2.weight.abs().max()) == 0
    backbone.init_weights()
    optimizer = DefaultOptimWrapperConstructor(
        dict(optimizer=dict(type='SGD', lr=1.0, weight_decay=1.0)),
        dict(norm_decay_mult=0.0),
    )(backbone)
    decay = {
        id(parameter): group['weight_decay']
        for group in optimizer.param_groups
        for parameter in group['params']
    }
    block = backbone.layer2[0]
    assert decay[id(block.bn2.weight)] == decay[id(block.bn2.bias)] == 0
    assert decay[id(block.bn2.sge.weight)] == 1


def test_convolution_modules_take_sge_on_their_outputs():
    conv = ConvModule(3, 32, 3, norm_cfg=dict(type='BN'))
    model = insert_sge(nn.Sequential(conv), '0', 8)
    assert '0.sge.weight' in model.state_dict()
    assert model(image()).shape[1] == 32


def test_preserving_sge_leaves_a_whole_backbone_as_it_was():
    torch.manual_seed(0)
    backbone = CSPNeXt(widen_factor=0.25, deepen_factor=0.33)
    backbone.eval()
    want = backbone(image_of(64))
    insert_sge(backbone, '*.conv2', 8, preserve=True)
    for a, b in zip(backbone(image_of(64)), want):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def image_of(size):
    return torch.randn(
        1, 3, size, size, generator=torch.Generator().manual_seed(0)
    )


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(after='*.bn9'), r"matches no module .* nearest .*'\*.bn2'"),
        (dict(after='Conv'), 'matches no module'),
        (dict(after=lambda name, part: False), 'chose none'),
        (dict(after='1*'), r'names 1 and 1\.conv1 inside it'),
        (dict(after='1', out_channels=(8, 8)), 'after=None'),
        (dict(after='2'), 'channels of what 2 returns are unknown'),
        (
            dict(example=image(), outputs=[3]),
            'outputs',
        ),
        (dict(groups=0, after='1'), 'positive integer'),
        (dict(preserve=True, weight_init=1.0), 'weight_init'),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else '',
)
def test_bad_places_are_refused_and_nothing_changes(options, message):
    model = Maps(lambda a, b: (a, b)) if 'example' in options else net()
    keys = list(model.state_dict())
    with pytest.raises(ValueError, match=message):
        insert_sge(model, **options)
    assert list(model.state_dict()) == keys and not layers(model)


def test_patterns_are_strings():
    with pytest.raises(TypeError, match='patterns'):
        insert_sge(net(), after=[1])


def test_containers_are_refused():
    model = nn.Sequential()
    model.blocks = nn.ModuleList([nn.Conv2d(8, 8, 1)])
    with pytest.raises(ValueError, match=r"ModuleList.*'blocks\.\*'"):
        insert_sge(model, 'blocks')


@pytest.mark.parametrize('after', ['*.bn2', ['1', '3'], None])
def test_inserting_twice_is_refused(after):
    model = enhanced(after)
    keys = list(model.state_dict())
    with pytest.raises(ValueError, match=r'already has .* sge'):
        insert_sge(model, after, 8)
    assert list(model.state_dict()) == keys


def test_what_is_inside_inserted_sge_is_no_place():
    model = enhanced()
    with pytest.raises(ValueError, match='matches no module'):
        insert_sge(model, '*.inner')
    insert_sge(model, ['1.bn1', '3'], 8)
    assert len(layers(model)) == 4


def test_outputs_that_are_no_maps_are_named():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten())
    with pytest.raises(TypeError, match=r'1 returned a tensor of shape \(2'):
        insert_sge(model, '1', example=image())
    insert_sge(model, '1', 4, out_channels=8)
    with pytest.raises(TypeError, match=r'1 returned a tensor of shape \(2'):
        model(image())
    model = insert_sge(Maps(lambda a, b: (a, b)), groups=4)
    with pytest.raises(TypeError, match='Maps returned a tuple of 2'):
        model(image())
    with pytest.raises(TypeError, match='a value of type str'):
        insert_sge(Maps(lambda a, b: 'x'), example=image())
    with pytest.raises(TypeError, match=r'Maps\[1\] returned a value of'):
        insert_sge(Maps(lambda a, b: (a, 'x')), example=image())


def test_other_channels_and_outputs_are_named_at_the_first_run():
    model = insert_sge(net(), '1', 8, out_channels=16)
    with pytest.raises(ValueError, match='behind 1 was made for 16 channels'):
        model(image())
    for channels in ((16,), (16, 32, 64)):
        model = insert_sge(
            Maps(lambda a, b: (a, b)), groups=8, out_channels=channels
        )
        with pytest.raises(ValueError, match='Maps has SGE for'):
            model(image())
    model = insert_sge(Maps(lambda a, b: a), groups=8, out_channels=(16,))
    with pytest.raises(TypeError, match='was to return several maps'):
        model(image())


def test_modules_that_do_not_run_are_named():
    model = net()
    model.unused = nn.Conv2d(8, 8, 1)
    model.forward = lambda x: nn.Sequential.forward(model[:2], x)
    with pytest.raises(ValueError, match='unused is not called'):
        insert_sge(model, 'unused', example=image())
