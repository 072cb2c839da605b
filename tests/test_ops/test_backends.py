"""Every implementation of SGE against float64, and how one is chosen."""
import importlib.util
import os
import re
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sge_mmdet.ops import (
    backend_for,
    native,
    spatial_group_enhance,
    spatial_group_enhance_residual,
    use_backend,
)

NORMAL, LAST = torch.contiguous_format, torch.channels_last
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-5, torch.float16: 2e-3,
             torch.bfloat16: 1.6e-2}
HAS_NATIVE = native.library() is not None
HAS_TRITON = importlib.util.find_spec('triton') is not None
BACKENDS = [
    pytest.param('native', marks=pytest.mark.skipif(
        not HAS_NATIVE, reason='built without a C++ compiler')),
    'torch',
    pytest.param('triton', marks=pytest.mark.skipif(
        not HAS_TRITON, reason='Triton is not installed')),
    'reference',
]
DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'


def device_of(backend):
    return DEVICE if backend == 'triton' else 'cpu'


def takes(backend, dtype):
    return dtype not in dict(native=(torch.float16, ),
                             triton=(torch.float64, )).get(backend, ())


def leaves(shape, groups, dtype=torch.float64, seed=0):
    """Return x, identity, weight, bias, scale, shift and a gradient."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*size):
        return torch.randn(size, generator=generator, dtype=torch.float64)

    kind = torch.promote_types(dtype, torch.float32)
    return [draw(*shape).to(dtype), draw(*shape).to(dtype),
            draw(1, groups, 1, 1).to(kind), draw(1, groups, 1, 1).to(kind),
            (0.5 + draw(shape[1]).abs()).to(kind), draw(shape[1]).to(kind),
            draw(*shape).to(dtype)]


def run(case, groups, backend, residual, normalize=True, layout=NORMAL,
        dtype=None):
    """Return the result and all gradients, on the CPU, in float64."""
    *tensors, grad = (
        tensor.to(device_of(backend)).to(
            tensor.dtype if dtype is None else dtype,
            memory_format=layout if tensor.dim() == 4
            and tensor.shape[1] == case[0].shape[1] else NORMAL)
        for tensor in case)
    x, identity, weight, bias, scale, shift = (
        tensor.detach().requires_grad_() for tensor in tensors)
    with use_backend(backend):
        if residual:
            used = [x, identity, weight, bias, scale, shift]
            y = spatial_group_enhance_residual(
                x, identity, weight, bias, groups, 1e-5, normalize, scale,
                shift)
        else:
            used = [x, weight, bias]
            y = spatial_group_enhance(x, weight, bias, groups, 1e-5,
                                      normalize)
        gradients = torch.autograd.grad(y, used, grad)
    assert y.is_contiguous(memory_format=layout)
    assert all(g.dtype == leaf.dtype for g, leaf in zip(gradients, used))
    return [tensor.detach().cpu().double() for tensor in (y, *gradients)]


def assert_agrees(case, groups, backend, residual, tolerance, **options):
    got = run(case, groups, backend, residual, **options)
    options.pop('layout', None)
    want = run(case, groups, 'reference', residual, dtype=torch.float64,
               **options)
    for a, b in zip(got, want):
        torch.testing.assert_close(
            a, b, rtol=tolerance,
            atol=tolerance * max(1., float(b.abs().max())))


@pytest.mark.parametrize('backend', BACKENDS[:2])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(n=st.integers(1, 3), groups=st.integers(1, 5), c=st.integers(1, 9),
       h=st.integers(1, 9), w=st.integers(1, 60), normalize=st.booleans(),
       residual=st.booleans(), last=st.booleans(),
       seed=st.integers(0, 2**32 - 1))
def test_any_shape_agrees_with_the_reference(backend, n, groups, c, h, w,
                                             normalize, residual, last, seed):
    case = leaves((n, groups * c, h, w), groups, seed=seed)
    layout = LAST if last and h * w > 1 and groups * c > 1 else NORMAL
    assert_agrees(case, groups, backend, residual, 1e-8, normalize=normalize,
                  layout=layout)


VIEWS = {
    'whole': lambda x: x,
    'channels last': lambda x: x.contiguous(memory_format=LAST),
    'sliced': lambda x: torch.cat([x, x + 1], 3)[..., ::2].contiguous()
    .repeat_interleave(2, 3)[..., ::2],
    'channels of more': lambda x: torch.cat([x + 1, x], 1)[:, x.shape[1]:],
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
    dtype = data.draw(st.sampled_from(
        [dtype for dtype in TOLERANCE if takes(backend, dtype)]))
    groups, c = (data.draw(st.integers(1, most)) for _ in range(2))
    # Of two positions the normalisation makes +1 and -1 of any difference,
    # also of one below what a short type can tell.
    least = 1 if dtype == torch.float64 else 3
    h, w = (data.draw(st.integers(least, most)) for _ in range(2))
    n = data.draw(st.integers(0, 3))
    view = VIEWS[data.draw(st.sampled_from(list(VIEWS)))]
    residual = data.draw(st.booleans())
    *case, grad = leaves((n, groups * c, h, w), groups, dtype,
                         data.draw(st.integers(0, 2**32 - 1)))
    case = [tensor if i > 1 else view(tensor)
            for i, tensor in enumerate(case)]
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
            y = (spatial_group_enhance_residual(
                x, identity, weight, bias, groups, scale=scale, shift=shift)
                if residual else spatial_group_enhance(x, weight, bias,
                                                       groups))
            assert y.requires_grad == bool(wanting)
            gradients = torch.autograd.grad(
                y, [tensors[i] for i in wanting], grad.to(y)
            ) if wanting else []
        return [tensor.detach().cpu().double() for tensor in (y, *gradients)]

    tolerance = 2 * TOLERANCE[dtype]
    for a, b in zip(outcome(backend), outcome('reference', torch.float64)):
        torch.testing.assert_close(
            a, b, rtol=tolerance,
            atol=tolerance * max([1., *b.abs().flatten().tolist()]))


@pytest.mark.parametrize('backend', BACKENDS[2:3])
@pytest.mark.parametrize('shape, groups', [
    ((2, 12, 7, 9), 3), ((1, 6, 1, 1), 2), ((1, 64, 5, 5), 1),
    ((1, 5, 33, 70), 5), ((1, 48, 9, 31), 2)])
@pytest.mark.parametrize('residual', [False, True])
@pytest.mark.parametrize('normalize', [False, True])
def test_triton_agrees_with_the_reference(backend, shape, groups, residual,
                                          normalize):
    case = leaves(shape, groups, torch.float32)
    assert_agrees(case, groups, backend, residual, 2e-5, normalize=normalize)


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('layout', [NORMAL, LAST])
@pytest.mark.parametrize('residual', [False, True])
def test_every_dtype_and_layout_agrees_with_float64(backend, dtype, layout,
                                                    residual):
    if not takes(backend, dtype):
        pytest.skip(f'{backend} does not take {dtype}')
    assert_agrees(leaves((2, 12, 13, 17), 3, dtype), 3, backend, residual,
                  TOLERANCE[dtype], layout=layout)


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('fill', [0., 1., -3., 1234.567])
def test_constant_maps_have_no_similarity(backend, fill):
    case = leaves((2, 12, 6, 7), 3, torch.float32)
    case[0] = torch.full_like(case[0], fill)
    y, grad_x, grad_w, _ = run(case, 3, backend, False)
    gate = case[3].double().sigmoid().repeat_interleave(4, 1)
    torch.testing.assert_close(y, case[0].double() * gate, rtol=2e-6, atol=0)
    assert not grad_w.any()
    torch.testing.assert_close(grad_x, case[6].double() * gate, rtol=1e-5,
                               atol=1e-6)


@pytest.mark.parametrize('backend', BACKENDS[2:3])
def test_large_constant_maps_have_no_similarity_in_triton(backend,
                                                          monkeypatch):
    """A program then sums hundreds of tiles."""
    from sge_mmdet.ops import triton_kernels
    monkeypatch.setattr(triton_kernels, 'TILE', 64)
    monkeypatch.setattr(triton_kernels, 'PROGRAMS', 1)
    case = leaves((1, 4, 64, 128), 1, torch.float32)
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
        assert all(tensor.isfinite().all() for tensor in
                   run(case, 2, backend, residual))


@pytest.mark.parametrize('backend', BACKENDS[1:])
@pytest.mark.parametrize('residual', [False, True])
@pytest.mark.parametrize('shape, groups', [((2, 12, 9, 9), 3),
                                           ((1, 256, 8, 8), 2)])
def test_float16_at_the_limits_of_its_range_stays_finite(backend, residual,
                                                         shape, groups):
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
    case = leaves((2, 24, 31, 33), 3, torch.float32)
    first, second = (run(case, 3, backend, True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second))


@pytest.mark.parametrize('backend', BACKENDS[:2])
@pytest.mark.parametrize('normalize', [True, False])
def test_first_and_second_gradients_pass_gradcheck(backend, normalize):
    *tensors, _ = leaves((2, 6, 4, 3), 3)
    x, identity, weight, bias, scale, shift = (
        tensor.requires_grad_() for tensor in tensors)

    def plain(*args):
        return spatial_group_enhance(*args, 3, normalize=normalize)

    def residual(x, identity, weight, bias, scale, shift):
        return spatial_group_enhance_residual(
            x, identity, weight, bias, 3, 1e-5, normalize, scale, shift)

    with use_backend(backend):
        for function, args in ((plain, (x, weight, bias)),
                               (residual, (x, identity, weight, bias, scale,
                                           shift))):
            assert torch.autograd.gradcheck(function, args)
            assert torch.autograd.gradgradcheck(function, args)


@pytest.mark.parametrize('residual', [False, True])
def test_third_derivatives_are_those_of_the_reference(residual):
    results = []
    for backend in 'torch', 'reference':
        *tensors, grad = leaves((1, 6, 4, 3), 3)
        x, identity, weight, bias, scale, shift = (
            tensor.requires_grad_() for tensor in tensors)
        with use_backend(backend):
            y = spatial_group_enhance_residual(
                x, identity, weight, bias, 3, 1e-5, True, scale, shift
            ) if residual else spatial_group_enhance(x, weight, bias, 3)
            value = (y * grad).sum()
            for _ in range(3):
                gradients = torch.autograd.grad(value, (x, weight),
                                                create_graph=True)
                value = sum((g**2).sum() for g in gradients)
        results.append(gradients)
    for got, want in zip(*results):
        torch.testing.assert_close(got, want)


def test_forward_mode_and_function_transforms_are_right():
    x, _, weight, bias, *_, direction = leaves((1, 6, 4, 3), 3)

    def function(x):
        return spatial_group_enhance(x, weight, bias, 3)

    def results():
        return [torch.func.jvp(function, (x, ), (direction, ))[1],
                torch.func.grad(lambda x: function(x).pow(2).sum())(x),
                torch.func.vmap(function)(torch.stack([x, 2 * x]))]

    got = results()
    with use_backend('reference'):
        want = results()
    assert got[0].abs().max() > 0
    for a, b in zip(got, want):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize('residual', [False, True])
def test_no_map_is_saved_but_the_input_and_with_relu_the_output(residual):
    *tensors, _ = leaves((2, 32, 20, 20), 4, torch.float32)
    x, identity, weight, bias, *affine = (tensor.requires_grad_()
                                          for tensor in tensors)
    saved = {}
    with torch.autograd.graph.saved_tensors_hooks(
            lambda t: saved.setdefault(t.data_ptr(), t), lambda t: t):
        if residual:
            y = spatial_group_enhance_residual(x, identity, weight, bias, 4,
                                               1e-5, True, *affine)
        else:
            y = spatial_group_enhance(x, weight, bias, 4)
    maps = {address for address, tensor in saved.items()
            if tensor.numel() >= x.numel()}
    assert maps == {x.data_ptr()} | ({y.data_ptr()} if residual else set())
    rest = sum(t.numel() for a, t in saved.items() if a not in maps)
    assert rest < x.numel() / 50


@pytest.mark.parametrize('residual', [False, True])
def test_operator_keeps_the_rules_of_registered_operators(residual):
    x, identity, weight, bias, scale, shift, grad = leaves(
        (2, 6, 4, 5), 3, torch.float32)
    extra = (scale, shift, identity) if residual else (None, ) * 3
    args = (x, weight, bias, *extra, 3, 1e-5, True)
    torch.library.opcheck(torch.ops.sge_mmdet.enhance.default, [
        arg.requires_grad_() if torch.is_tensor(arg) else arg for arg in args
    ])
    y, mean, spread = torch.ops.sge_mmdet.enhance(*args)
    torch.library.opcheck(torch.ops.sge_mmdet.enhance_backward.default, [
        tensor.detach() if torch.is_tensor(tensor) else tensor
        for tensor in (grad, x, y if residual else None, mean, spread, weight,
                       bias, *extra[:2], 3, 1e-5, True)])


@pytest.mark.parametrize('layout', [NORMAL, LAST])
def test_compiling_does_not_break_the_graph_nor_change_results(layout):
    case = leaves((2, 12, 5, 7), 3, torch.float32)

    def function(x, identity, weight, bias, scale, shift):
        y = spatial_group_enhance(x.relu(), weight, bias, 3)
        return spatial_group_enhance_residual(
            y, identity, weight, bias, 3, 1e-5, True, scale, shift).sin()

    results = []
    for call in function, torch.compile(function, fullgraph=True,
                                        backend='aot_eager'):
        tensors = [tensor.clone().to(memory_format=layout)
                   if tensor.shape == case[0].shape else tensor.clone()
                   for tensor in case[:6]]
        y = call(*(tensor.requires_grad_() for tensor in tensors))
        y.backward(case[6])
        results.append([y.detach(), *(tensor.grad for tensor in tensors)])
    for a, b in zip(*results):
        torch.testing.assert_close(a, b)
        assert a.stride() == b.stride()


def test_exported_programs_hold_the_operator_and_take_other_sizes():
    class Layer(torch.nn.Module):
        def forward(self, x, weight, bias):
            return spatial_group_enhance(x, weight, bias, 3)

    x, _, weight, bias, *_ = leaves((2, 12, 5, 7), 3, torch.float32)
    height, width = (torch.export.Dim(name, min=2, max=64)
                     for name in ('height', 'width'))
    program = torch.export.export(Layer(), (x, weight, bias), dynamic_shapes=(
        {2: height, 3: width}, None, None))
    assert 'sge_mmdet.enhance' in program.graph_module.code
    other = torch.randn(2, 12, 9, 6)
    torch.testing.assert_close(
        program.module()(other, weight, bias),
        spatial_group_enhance(other, weight, bias, 3))


def test_traces_hold_pytorch_operators_alone():
    x, _, weight, bias, *_ = leaves((1, 12, 5, 7), 3, torch.float32)
    trace = torch.jit.trace(lambda *args: spatial_group_enhance(*args, 3),
                            (x, weight, bias))
    assert 'sge_mmdet::' not in str(trace.graph)
    for other in torch.randn(3, 12, 8, 9), torch.randn(2, 12, 1, 1):
        torch.testing.assert_close(
            trace(other, weight, bias),
            spatial_group_enhance(other, weight, bias, 3))


def test_shapes_follow_on_the_meta_device():
    x = torch.empty(2, 12, 5, 7, device='meta')
    p = torch.empty(1, 3, 1, 1, device='meta')
    assert spatial_group_enhance(x, p, p, 3).shape == x.shape


def test_backend_is_chosen_by_device_and_type(monkeypatch):
    x = torch.rand(1, 4, 2, 2)
    if HAS_NATIVE:
        assert backend_for(x) == 'native'
    assert backend_for(x.half()) == 'torch'
    monkeypatch.setattr(native, 'library', lambda: None)
    assert backend_for(x) == 'torch'
    p = torch.ones(1, 2, 1, 1)
    torch.testing.assert_close(
        spatial_group_enhance(x, 0 * p, p, 2), x * p[0, 0].sigmoid())


def test_backend_that_cannot_run_says_why(monkeypatch):
    x = torch.rand(1, 4, 2, 2)
    with use_backend('native'), pytest.raises(
            RuntimeError, match=r'float16 on cpu|not built'):
        backend_for(x.half())
    monkeypatch.setattr(native, 'library', lambda: None)
    with use_backend('native'), pytest.raises(RuntimeError,
                                              match=r'C\+\+ compiler'):
        backend_for(x)
    with pytest.raises(ValueError, match=r"native, triton.*got 'fast'"):
        with use_backend('fast'):
            pass


def test_library_of_another_version_is_not_loaded(monkeypatch):
    library = native.library.__wrapped__
    assert (library() is not None) == HAS_NATIVE
    monkeypatch.setattr(native, 'VERSION', native.VERSION + 1)
    assert library() is None


@pytest.mark.skipif(sys.platform != 'linux', reason='needs /proc')
def test_pytorchs_own_threads_run_the_kernels():
    assert native.openmp_team()


def test_backend_by_name_takes_empty_maps_and_refuses_what_it_cannot():
    p = torch.ones(1, 2, 1, 1)
    if HAS_NATIVE:
        with use_backend('native'):
            empty = spatial_group_enhance(torch.ones(0, 4, 2, 2), p, p, 2)
        assert empty.shape == (0, 4, 2, 2)
    if HAS_TRITON:
        with use_backend('triton'), pytest.raises(RuntimeError,
                                                  match='float64'):
            backend_for(torch.ones(1, 4, 2, 2).double())


def test_triton_on_a_cpu_needs_the_interpreter(monkeypatch):
    pytest.importorskip('triton')
    monkeypatch.delenv('TRITON_INTERPRET', raising=False)
    with use_backend('triton'), pytest.raises(RuntimeError, match='on cpu'):
        backend_for(torch.ones(1, 4, 2, 2))


@pytest.mark.parametrize('value, words', [
    ('reference', 'reference'),
    ('slow', "SGE_MMDET_BACKEND takes one of native, .*got 'slow'"),
])
def test_environment_variable_names_the_backend(value, words):
    code = ('import torch; from sge_mmdet.ops import backend_for; '
            'print(backend_for(torch.rand(1, 4, 2, 2)))')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True,
                          text=True, check=False,
                          env={**os.environ, 'SGE_MMDET_BACKEND': value})
    assert re.search(words, done.stdout + done.stderr)


@pytest.mark.parametrize('change, error, words', [
    (dict(weight=torch.zeros(1, 3, 1, 1, device='meta')), ValueError,
     'weight on the device of x, cpu, got one on meta'),
    (dict(identity=torch.zeros(1, 6, 4, 4, device='meta')), ValueError,
     'identity on the device of x'),
    (dict(identity=torch.zeros(1, 6, 4, 5)), ValueError, r'\(1, 6, 4, 5\)'),
    (dict(identity=torch.zeros(1, 6, 4, 4).half()), TypeError, 'float16'),
    (dict(scale=torch.ones(6)), ValueError, 'together'),
    (dict(scale=torch.ones(5), shift=torch.ones(5)), ValueError,
     r'scale of shape \(6,\), got \(5,\)'),
])
def test_bad_arguments_of_the_residual_are_refused(change, error, words):
    arguments = dict(x=torch.zeros(1, 6, 4, 4), groups=3,
                     identity=torch.zeros(1, 6, 4, 4),
                     weight=torch.zeros(1, 3, 1, 1),
                     bias=torch.zeros(1, 3, 1, 1))
    with pytest.raises(error, match=words):
        spatial_group_enhance_residual(**{**arguments, **change})
