"""Layers that start as the identity, by a factor of their input."""

import copy
import math

import pytest
import torch

from sge_mmdet.ops import (
    FixedNorm,
    SpatialGroupEnhance,
    spatial_group_enhance,
    use_backend,
    warm_up,
)
from tests.helpers.operator_cases import (
    BACKENDS,
    LAST,
    NORMAL,
    TOLERANCE,
    device_of,
    fixed_norm,
    takes,
)

SHAPE, GROUPS = (2, 12, 7, 9), 3


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def trained(**options):
    """Return a layer whose state is not the initial one."""
    layer = SpatialGroupEnhance(12, GROUPS, preserve=True, **options)
    with torch.no_grad():
        layer.weight.copy_(draw(1, GROUPS, 1, 1, seed=1))
        layer.bias.copy_(draw(1, GROUPS, 1, 1, seed=2))
        layer.factor.copy_(0.5 + draw(12, seed=3).abs())
    return layer


def results(layer, backend, tail, dtype, layout, rounded=None):
    """Return output and gradients in float64, of rounded values."""
    device = device_of(backend)
    layer = copy.deepcopy(layer).to(
        device, torch.promote_types(dtype, torch.float32)
    )

    def new(*shape, seed):
        return (
            draw(*shape, seed=seed)
            .to(device, rounded or dtype)
            .to(dtype)
            .to(memory_format=layout if len(shape) == 4 else NORMAL)
            .requires_grad_()
        )

    x, identity = new(*SHAPE, seed=4), new(*SHAPE, seed=5)
    scale, shift = (
        new(12, seed=seed).detach().to(layer.weight.dtype).requires_grad_()
        for seed in (6, 7)
    )
    leaves = [x, layer.weight, layer.bias]
    with use_backend(backend):
        if tail == 'alone':
            y = layer(x)
        else:
            norm = None
            leaves.append(identity)
            if tail == 'norm':
                norm = fixed_norm(scale, shift)
                leaves += [scale, shift]
            y = layer.forward_residual(x, identity, norm)
        grads = torch.autograd.grad(y, leaves, new(*SHAPE, seed=8).detach())
    assert y.dtype == dtype and y.is_contiguous(memory_format=layout)
    return [value.detach().cpu().double() for value in (y, *grads)]


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('layout', [NORMAL, LAST])
@pytest.mark.parametrize('tail', ['alone', 'residual', 'norm'])
@pytest.mark.parametrize('backend', BACKENDS)
def test_output_and_gradients_agree_with_float64(backend, tail, layout, dtype):
    if not takes(backend, dtype):
        pytest.skip('the backend does not take this type')
    layer = trained()
    got = results(layer, backend, tail, dtype, layout)
    want = results(
        layer, 'reference', tail, torch.float64, NORMAL, rounded=dtype
    )
    tolerance = TOLERANCE[dtype]
    for a, b in zip(got, want):
        scale = max(1.0, float(b.abs().max()))
        torch.testing.assert_close(
            a, b, rtol=tolerance, atol=tolerance * scale
        )


@pytest.mark.parametrize('normalize', [True, False])
def test_the_factor_multiplies_the_input(normalize):
    layer = trained(normalize=normalize)
    x = draw(*SHAPE).float()
    want = spatial_group_enhance(
        x * layer.factor.view(1, -1, 1, 1),
        layer.weight,
        layer.bias,
        GROUPS,
        normalize=normalize,
    )
    torch.testing.assert_close(layer(x), want)


def test_gradients_of_first_and_second_order():
    layer = trained().double()
    x = draw(*SHAPE).requires_grad_()

    def run(x, weight, bias):
        layer._parameters.update(weight=weight, bias=bias)
        return layer(x)

    inputs = (x, *(p.detach().requires_grad_() for p in layer.parameters()))
    assert torch.autograd.gradcheck(run, inputs)
    small = (draw(1, 12, 2, 3).requires_grad_(), *inputs[1:])
    assert torch.autograd.gradgradcheck(run, small)


@pytest.mark.parametrize('bias_init', [1.0, 0.0, -3.0])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_new_layers_are_the_identity(bias_init, dtype):
    layer = SpatialGroupEnhance(64, bias_init=bias_init, preserve=True)
    x = torch.randn(2, 64, 9, 9).to(dtype)
    tolerance = 2 * torch.finfo(dtype).eps
    torch.testing.assert_close(layer(x), x, rtol=tolerance, atol=0)
    factor = layer.state_dict()['factor']
    assert factor.shape == (64,)
    assert float(factor[0]) == pytest.approx(1 + math.exp(-bias_init))


def test_only_preserving_layers_have_a_factor():
    assert list(SpatialGroupEnhance(8, 2).state_dict()) == ['weight', 'bias']
    layer = SpatialGroupEnhance(8, 2, preserve=True)
    assert list(layer.state_dict()) == ['weight', 'bias', 'factor']
    assert len(list(layer.parameters())) == 2
    assert 'preserve=True' in repr(layer)
    assert 'preserve' not in repr(SpatialGroupEnhance(8, 2))


def test_init_weights_restores_the_identity():
    layer = trained()
    layer.init_weights()
    x = draw(*SHAPE).float()
    torch.testing.assert_close(layer(x), x)


def test_a_first_weight_is_refused():
    with pytest.raises(ValueError, match='preserve=True needs weight_init=0'):
        SpatialGroupEnhance(8, 2, weight_init=1.0, preserve=True)


def test_weights_without_a_factor_compute_what_they_did():
    plain = SpatialGroupEnhance(12, GROUPS)
    with torch.no_grad():
        plain.weight.normal_()
    layer = SpatialGroupEnhance(12, GROUPS, preserve=True)
    layer.load_state_dict(plain.state_dict(), strict=True)
    x = draw(*SHAPE).float()
    assert torch.equal(layer.factor, torch.ones(12))
    torch.testing.assert_close(layer(x), plain(x))


def test_weights_of_a_model_without_sge_leave_the_identity():
    model = torch.nn.Sequential(SpatialGroupEnhance(8, 2, preserve=True))
    missing, _ = model.load_state_dict({}, strict=False)
    assert missing == ['0.weight', '0.bias', '0.factor']
    assert float(model[0].factor[0]) > 1


def test_a_factor_that_the_layer_lacks_is_refused():
    layer = SpatialGroupEnhance(12, GROUPS)
    model = torch.nn.ModuleDict(dict(sge=layer))
    state = torch.nn.ModuleDict(dict(sge=trained())).state_dict()
    with pytest.raises(
        ValueError, match=r'sge\.factor .* preserve=True .*--fold'
    ):
        model.load_state_dict(state)
    # A factor of 1 changes nothing.
    state['sge.factor'] = torch.ones(12)
    model.load_state_dict(state)


def test_weights_go_through_a_file(tmp_path):
    layer = trained()
    torch.save(layer.state_dict(), tmp_path / 'a.pth')
    other = SpatialGroupEnhance(12, GROUPS, preserve=True)
    other.load_state_dict(torch.load(tmp_path / 'a.pth'))
    x = draw(*SHAPE).float()
    assert torch.equal(layer(x), other(x))


def test_a_norm_may_have_statistics_and_no_shift():
    layer = SpatialGroupEnhance(12, GROUPS)
    x, identity = draw(2, *SHAPE).float()
    ones, mean = torch.ones(12), draw(12).float()
    got, want = (
        layer.forward_residual(x, identity, FixedNorm(ones, shift, mean, ones))
        for shift in (None, torch.zeros(12))
    )
    torch.testing.assert_close(got, want)


def test_warm_up_runs_the_layer_as_it_is():
    plain = SpatialGroupEnhance(8, 2)
    model = torch.nn.Sequential(
        plain, SpatialGroupEnhance(8, 2, preserve=True)
    )
    once = warm_up(plain, tails=['alone'])
    assert warm_up(model, tails=['alone']) == 2 * once
