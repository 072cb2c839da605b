"""Every implementation of SGE against float64."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sge_mmdet.ops import (
    FixedNorm,
    spatial_group_enhance,
    spatial_group_enhance_residual,
    use_backend,
)
from tests.helpers.operator_cases import (
    BACKENDS,
    DEVICE,
    LAST,
    NORMAL,
    TOLERANCE,
    assert_agrees,
    device_of,
    fixed_norm,
    leaves,
    run,
    takes,
)

INF, NAN = float('inf'), float('nan')
NON_FINITE = [(INF,), (-INF,), (NAN,), (INF, -INF)]


@pytest.mark.parametrize('backend', BACKENDS[:2])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    n=st.integers(1, 3),
    groups=st.integers(1, 5),
    c=st.integers(1, 9),
    h=st.integers(1, 9),
    w=st.integers(1, 60),
    normalize=st.booleans(),
    residual=st.booleans(),
    last=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape_agrees_with_the_reference(
    backend, n, groups, c, h, w, normalize, residual, last, seed
):
    case = leaves((n, groups * c, h, w), groups, seed=seed)
    layout = LAST if last and h * w > 1 and groups * c > 1 else NORMAL
    assert_agrees(
        case,
        groups,
        backend,
        residual,
        1e-8,
        normalize=normalize,
        layout=layout,
    )


VIEWS = {
    'whole': lambda x: x,
    'channels last': lambda x: x.contiguous(memory_format=LAST),
    'sliced': lambda x: (
        torch.cat([x, x + 1], 3)[..., ::2]
        .contiguous()
        .repeat_interleave(2, 3)[..., ::2]
    ),
    'channels of more': lambda x: torch.cat([x + 1, x], 1)[:, x.shape[1] :],
    'transposed': lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    'expanded': lambda x: x[:1].expand_as(x),
}


@pytest.mark.parametrize('backend', [*BACKENDS[:2], BACKENDS[3]])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_input_agrees_with_the_reference_in_float64(backend, data):
    """Types, layouts, strides, empty batches and who wants a gradient."""
    check_any_input(backend, data, 9)


@pytest.mark.parametrize('backend', BACKENDS[2:3])
@settings(max_examples=8, deadline=None, derandomize=True)
@given(data=st.data())
def test_triton_agrees_on_any_input_with_the_reference(backend, data):
    """Fewer and smaller ones: its interpreter is slow."""
    check_any_input(backend, data, 4)


def check_any_input(backend, data, most):
    dtype = data.draw(
        st.sampled_from(
            [dtype for dtype in TOLERANCE if takes(backend, dtype)]
        )
    )
    groups, c = (data.draw(st.integers(1, most)) for _ in range(2))
    # Of two positions the normalisation makes +1 and -1 of any difference,
    # also of one below what a short type can tell.
    least = 1 if dtype == torch.float64 else 3
    h, w = (data.draw(st.integers(least, most)) for _ in range(2))
    n = data.draw(st.integers(0, 3))
    view, view_of_grad = (
        VIEWS[data.draw(st.sampled_from(list(VIEWS)))] for _ in range(2)
    )
    residual = data.draw(st.booleans())
    *case, grad = leaves(
        (n, groups * c, h, w),
        groups,
        dtype,
        data.draw(st.integers(0, 2**32 - 1)),
    )
    case = [tensor if i > 1 else view(tensor) for i, tensor in enumerate(case)]
    grad = view_of_grad(grad)
    used = [0, 1, 2, 3, 4, 5] if residual else [0, 2, 3]
    wanting = [i for i in used if data.draw(st.booleans())]

    def outcome(backend, kind=None):
        tensors = [tensor.detach().to(device_of(backend)) for tensor in case]
        if kind:
            tensors = [tensor.to(kind) for tensor in tensors]
        for i in wanting:
            tensors[i].requires_grad_()
        x, identity, weight, bias, scale, shift = tensors
        with use_backend(backend):
            y = (
                spatial_group_enhance_residual(
                    x,
                    identity,
                    weight,
                    bias,
                    groups,
                    norm=FixedNorm(scale, shift),
                )
                if residual
                else spatial_group_enhance(x, weight, bias, groups)
            )
            assert y.requires_grad == bool(wanting)
            gradients = (
                torch.autograd.grad(
                    y, [tensors[i] for i in wanting], grad.to(y)
                )
                if wanting
                else []
            )
        return [tensor.detach().cpu().double() for tensor in (y, *gradients)]

    tolerance = 2 * TOLERANCE[dtype]
    for a, b in zip(outcome(backend), outcome('reference', torch.float64)):
        torch.testing.assert_close(
            a,
            b,
            rtol=tolerance,
            atol=tolerance * max([1.0, *b.abs().flatten().tolist()]),
        )


@pytest.mark.parametrize('backend', BACKENDS[2:3])
@pytest.mark.parametrize(
    'shape, groups',
    [
        ((2, 12, 7, 9), 3),
        ((1, 6, 1, 1), 2),
        ((1, 64, 5, 5), 1),
        ((1, 5, 33, 70), 5),
        ((1, 48, 9, 31), 2),
    ],
)
@pytest.mark.parametrize('residual', [False, True])
@pytest.mark.parametrize('normalize', [False, True])
def test_triton_agrees_with_the_reference(
    backend, shape, groups, residual, normalize
):
    case = leaves(shape, groups, torch.float32)
    assert_agrees(case, groups, backend, residual, 2e-5, normalize=normalize)


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('layout', [NORMAL, LAST])
@pytest.mark.parametrize('residual', [False, True])
def test_every_dtype_and_layout_agrees_with_float64(
    backend, dtype, layout, residual
):
    if not takes(backend, dtype):
        pytest.skip(f'{backend} does not take {dtype}')
    assert_agrees(
        leaves((2, 12, 13, 17), 3, dtype),
        3,
        backend,
        residual,
        TOLERANCE[dtype],
        layout=layout,
    )


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('fill', [0.0, 1.0, -3.0, 1234.567])
def test_constant_maps_have_no_similarity(backend, fill):
    case = leaves((2, 12, 6, 7), 3, torch.float32)
    case[0] = torch.full_like(case[0], fill)
    y, grad_x, grad_w, _ = run(case, 3, backend, False)
    gate = case[3].double().sigmoid().repeat_interleave(4, 1)
    torch.testing.assert_close(y, case[0].double() * gate, rtol=2e-6, atol=0)
    assert not grad_w.any()
    torch.testing.assert_close(
        grad_x, case[6].double() * gate, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('layout', [NORMAL, LAST])
@pytest.mark.parametrize('c, h, w', [(64, 13, 17), (3, 40, 51)])
def test_channels_that_are_constant_have_no_similarity_behind_a_norm(
    backend, dtype, layout, c, h, w
):
    """Also where vectors and what remains of a row are computed apart."""
    if not takes(backend, dtype):
        pytest.skip(f'{backend} does not take {dtype}')
    case = leaves((1, 2 * c, h, w), 2, dtype)
    case[0] = (1e3 * case[0][..., :1, :1]).expand_as(case[0]).contiguous()
    for residual in False, True:
        outcome = run(case, 2, backend, residual, layout=layout)
        assert not outcome[3 if residual else 2].any()


# A deviation of 1e-4 at 1000 is two units in the last place of float32.
SMALL_VARIATIONS = [(1e3, 4e-3), (1e3, 1e-4), (1e4, 0.1), (-30.0, 1e-5)]


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('c', [1, 8, 64])
@pytest.mark.parametrize('level, deviation', SMALL_VARIATIONS)
def test_small_variations_about_large_means_are_those_of_float64(
    backend, c, level, deviation
):
    case = leaves((1, 2 * c, 12, 13), 2, torch.float32)
    case[0] = (level + deviation * case[0].double()).float()
    got = run(case, 2, backend, False)
    want = run(case, 2, 'reference', False, dtype=torch.float64)
    for a, b in zip(got, want):
        torch.testing.assert_close(
            a, b, rtol=1e-5, atol=2e-5 * float(b.abs().max())
        )


@pytest.mark.parametrize('backend', BACKENDS[2:3])
@pytest.mark.parametrize('level, deviation', SMALL_VARIATIONS)
def test_triton_sees_small_variations_behind_a_norm(backend, level, deviation):
    """The norm of differences is computed, so that z is not rounded first."""
    case = leaves((1, 16, 12, 13), 2, torch.float32)
    case[0] = (level + deviation * case[0].double()).float()
    got = run(case, 2, backend, True)
    want = run(case, 2, 'reference', True, dtype=torch.float64)
    # Without those of the norm's parameters: gradients of z that are large
    # cancel in these.
    for a, b in zip(got[:5], want):
        torch.testing.assert_close(
            a, b, rtol=1e-5, atol=2e-5 * float(b.abs().max())
        )


@pytest.mark.parametrize('backend', BACKENDS[:2])
@pytest.mark.parametrize('level, deviation', [(1e3, 1e-11), (1e6, 1e-8)])
def test_small_variations_are_seen_in_float64(backend, level, deviation):
    case = leaves((1, 8, 12, 13), 2)
    case[0] = level + deviation * case[0]
    got = run(case, 2, backend, False)
    assert got[2].abs().min() > 0.1
    for a, b in zip(got, run(case, 2, 'reference', False)):
        torch.testing.assert_close(
            a, b, rtol=1e-12, atol=1e-11 * float(b.abs().max())
        )


@pytest.mark.parametrize('forward', BACKENDS[:3])
@pytest.mark.parametrize('backward', BACKENDS[:3])
@pytest.mark.parametrize('level, deviation', SMALL_VARIATIONS)
def test_backward_takes_what_any_other_forward_found(
    forward, backward, level, deviation
):
    """The backend is chosen anew for the backward pass."""
    if 'triton' in (forward, backward) and DEVICE != 'cpu':
        pytest.skip('the kernels of the GPU do not take maps of the CPU')
    case = leaves((1, 12, 7, 9), 3, torch.float32)
    case[0] = (level + deviation * case[0].double()).float()
    x, weight, bias = (case[i].detach().requires_grad_() for i in (0, 2, 3))
    with use_backend(forward):
        y = spatial_group_enhance(x, weight, bias, 3)
    with use_backend(backward):
        got = torch.autograd.grad(y, (x, weight, bias), case[6])
    want = run(case, 3, 'reference', False, dtype=torch.float64)[1:]
    for a, b in zip(got, want):
        torch.testing.assert_close(
            a.double(), b, rtol=1e-5, atol=2e-5 * float(b.abs().max())
        )


@pytest.mark.parametrize('backend', BACKENDS[2:3])
def test_large_constant_maps_have_no_similarity_in_triton(
    backend, monkeypatch
):
    """A program then sums a hundred tiles."""
    from sge_mmdet.ops.triton import plan

    for name, value in (('TILE', 64), ('PROGRAMS', 1), ('MORE_PROGRAMS', 1)):
        monkeypatch.setattr(plan, name, value)
    case = leaves((1, 4, 40, 40), 1, torch.float32)
    case[0] = torch.full_like(case[0], 0.7)
    _, _, grad_w, _ = run(case, 1, backend, False)
    assert not grad_w.any()


@pytest.mark.parametrize('backend', BACKENDS)
def test_nan_comes_out_as_nan_and_stays_in_its_group(backend):
    case = leaves((1, 6, 5, 5), 3, torch.float32)
    case[0][0, 0, 2, 2] = torch.nan
    y, grad_x, *_ = run(case, 3, backend, False)
    for tensor in y, grad_x:
        assert tensor[0, :2].isnan().all()
        assert not tensor[0, 2:].isnan().any()


@pytest.mark.parametrize('backend', BACKENDS)
def test_gates_saturate_without_overflow(backend):
    case = leaves((1, 8, 9, 9), 2, torch.float32)
    case[2], case[3] = case[2] * 1e4, case[3] * 1e4
    for residual in False, True:
        assert all(
            tensor.isfinite().all()
            for tensor in run(case, 2, backend, residual)
        )


@pytest.mark.parametrize('backend', BACKENDS[1:])
@pytest.mark.parametrize('residual', [False, True])
@pytest.mark.parametrize(
    'shape, groups', [((2, 12, 9, 9), 3), ((1, 256, 8, 8), 2)]
)
def test_float16_at_the_limits_of_its_range_stays_finite(
    backend, residual, shape, groups
):
    case = leaves(shape, groups, torch.float16)
    limit = torch.finfo(torch.float16).max
    case[0] = ((case[0].double() / 4).clamp(-1, 1) * limit).half()
    case[4] = case[4].clamp(max=0.9)  # A norm must not leave the range.
    case[6] = case[6] / 1e3
    y, *gradients = run(case, groups, backend, residual)
    assert y.max() > limit / 4
    assert all(tensor.isfinite().all() for tensor in (y, *gradients))


@pytest.mark.parametrize('backend', BACKENDS[:3])
def test_results_do_not_change_from_run_to_run(backend):
    case = leaves((2, 24, 17, 19), 3, torch.float32)
    first, second = (run(case, 3, backend, True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second))


@pytest.mark.parametrize('backend', BACKENDS[:2])
@pytest.mark.parametrize('normalize', [True, False])
def test_first_and_second_gradients_pass_gradcheck(backend, normalize):
    *tensors, _ = leaves((2, 4, 3, 3), 2)
    x, identity, weight, bias, scale, shift = (
        tensor.requires_grad_() for tensor in tensors
    )

    def plain(*args):
        return spatial_group_enhance(*args, 2, normalize=normalize)

    def residual(x, identity, weight, bias, scale, shift):
        return spatial_group_enhance_residual(
            x,
            identity,
            weight,
            bias,
            2,
            1e-5,
            normalize,
            fixed_norm(scale, shift),
        )

    with use_backend(backend):
        for function, args in (
            (plain, (x, weight, bias)),
            (residual, (x, identity, weight, bias, scale, shift)),
        ):
            assert torch.autograd.gradcheck(function, args)
            assert torch.autograd.gradgradcheck(function, args)


@pytest.mark.parametrize('residual', [False, True])
def test_third_derivatives_are_those_of_the_reference(residual):
    results = []
    for backend in 'torch', 'reference':
        *tensors, grad = leaves((1, 6, 4, 3), 3)
        x, identity, weight, bias, scale, shift = (
            tensor.requires_grad_() for tensor in tensors
        )
        with use_backend(backend):
            y = (
                spatial_group_enhance_residual(
                    x,
                    identity,
                    weight,
                    bias,
                    3,
                    1e-5,
                    True,
                    fixed_norm(scale, shift),
                )
                if residual
                else spatial_group_enhance(x, weight, bias, 3)
            )
            value = (y * grad).sum()
            for _ in range(3):
                gradients = torch.autograd.grad(
                    value, (x, weight), create_graph=True
                )
                value = sum((g**2).sum() for g in gradients)
        results.append(gradients)
    for got, want in zip(*results):
        torch.testing.assert_close(got, want)


def test_forward_mode_and_function_transforms_are_right():
    x, _, weight, bias, *_, direction = leaves((1, 6, 4, 3), 3)

    def function(x):
        return spatial_group_enhance(x, weight, bias, 3)

    def results():
        return [
            torch.func.jvp(function, (x,), (direction,))[1],
            torch.func.grad(lambda x: function(x).pow(2).sum())(x),
            torch.func.vmap(function)(torch.stack([x, 2 * x])),
        ]

    got = results()
    with use_backend('reference'):
        want = results()
    assert got[0].abs().max() > 0
    for a, b in zip(got, want):
        torch.testing.assert_close(a, b)


@pytest.mark.filterwarnings('ignore:invalid value:RuntimeWarning')
@pytest.mark.parametrize('backend', BACKENDS[:3])
@pytest.mark.parametrize('residual', [False, True])
@pytest.mark.parametrize('normalize', [True, False])
def test_non_finite_input_gives_what_the_reference_gives(
    backend, residual, normalize
):
    """Every argument in turn holds infinities or NaN, at the first position,
    which sums are taken relative to, or at another."""
    # Triton's interpreter is slow.
    dtypes = [torch.float32, torch.bfloat16][: 1 + (backend != 'triton')]
    for dtype in dtypes:
        for which, values, place in itertools.product(
            range(7), NON_FINITE[-4 if backend != 'triton' else -2 :], (0, -2)
        ):
            if not residual and which in (1, 4, 5):
                continue
            case = leaves((1, 6, 3, 5), 2, dtype)
            for i, value in enumerate(values):
                case[which].view(-1)[place + i] = value
            got = run(case, 2, backend, residual, normalize)
            want = run(case, 2, 'reference', residual, normalize)
            about = f'{dtype}, argument {which}: {values} at {place}'
            assert torch.equal(got[0].isnan(), want[0].isnan()), about
            assert torch.equal(got[0].isinf(), want[0].isinf()), about
            for a, b in zip(got, want):
                finite = b.isfinite()
                assert torch.equal(a.isfinite(), finite), about
                torch.testing.assert_close(
                    a[finite],
                    b[finite],
                    rtol=20 * TOLERANCE[dtype],
                    atol=20 * TOLERANCE[dtype],
                    msg=about,
                )
