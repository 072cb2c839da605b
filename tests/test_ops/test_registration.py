"""SGE as an operator of PyTorch, and how its implementation is chosen."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from sge_mmdet.ops import (
    FixedNorm,
    backend_for,
    dispatch,
    native,
    spatial_group_enhance,
    spatial_group_enhance_residual,
    use_backend,
)
from tests.helpers.operator_cases import (
    HAS_NATIVE,
    HAS_TRITON,
    LAST,
    NORMAL,
    exportable,
    fixed_norm,
    leaves,
    registered,
)


@pytest.mark.parametrize('residual', [False, True])
def test_no_map_is_saved_but_the_input_and_with_relu_the_output(residual):
    *tensors, _ = leaves((2, 32, 20, 20), 4, torch.float32)
    x, identity, weight, bias, *affine = (
        tensor.requires_grad_() for tensor in tensors
    )
    saved = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: saved.setdefault(t.data_ptr(), t), lambda t: t
    ):
        if residual:
            y = spatial_group_enhance_residual(
                x, identity, weight, bias, 4, 1e-5, True, fixed_norm(*affine)
            )
        else:
            y = spatial_group_enhance(x, weight, bias, 4)
    maps = {
        address
        for address, tensor in saved.items()
        if tensor.numel() >= x.numel()
    }
    assert maps == {x.data_ptr()} | ({y.data_ptr()} if residual else set())
    rest = sum(t.numel() for a, t in saved.items() if a not in maps)
    assert rest < x.numel() / 50


@registered
@pytest.mark.parametrize('residual', [False, True])
def test_operator_keeps_the_rules_of_registered_operators(residual):
    x, identity, weight, bias, scale, shift, grad = leaves(
        (2, 6, 4, 5), 3, torch.float32
    )
    norm = fixed_norm(scale, shift)[:4] if residual else (None,) * 4
    options = 3, 1e-5, 1e-3, True
    args = (x, weight, bias, *norm, identity if residual else None, *options)
    for tensor in x, weight, bias, scale, shift, identity:
        tensor.requires_grad_()
    torch.library.opcheck(torch.ops.sge_mmdet.enhance.default, args)
    y, mean, spread = torch.ops.sge_mmdet.enhance(*args)
    torch.library.opcheck(
        torch.ops.sge_mmdet.enhance_backward.default,
        [
            tensor.detach() if torch.is_tensor(tensor) else tensor
            for tensor in (
                grad,
                x,
                y if residual else None,
                mean,
                spread,
                weight,
                bias,
                *norm,
                *options,
            )
        ],
    )


FORWARD = [
    (dict(x=torch.zeros(6, 4, 5)), ValueError, r'shape \(N, C, H, W\)'),
    (dict(x=torch.zeros(2, 6, 4, 5, dtype=int)), TypeError, 'int64'),
    (dict(x=torch.zeros(2, 6, 4, 5).to_sparse()), TypeError, 'dense'),
    (dict(groups=4), ValueError, 'groups=4 for 6 channels'),
    (dict(groups=0), ValueError, 'groups=0 for 6 channels'),
    (dict(weight=torch.zeros(3)), ValueError, r'weight of shape \(1, 3'),
    (
        dict(weight=torch.zeros(1, 3, 1, 1, dtype=int)),
        TypeError,
        'weight of dense floating point',
    ),
    (
        dict(bias=torch.zeros(1, 3, 1, 1, device='meta')),
        ValueError,
        'bias on the device of x',
    ),
    (dict(scale=None), ValueError, 'together'),
    (dict(shift=torch.zeros(1)), ValueError, r'shift of shape \(6,\)'),
]
BACKWARD = [
    (dict(grad_y=torch.zeros(2, 6, 4, 4)), ValueError, 'grad_y of the shape'),
    (dict(grad_y=torch.zeros(2, 6, 4, 5).half()), TypeError, 'grad_y of the'),
    (dict(y=torch.zeros(1)), ValueError, 'y of the shape'),
    (dict(mean=torch.zeros(2, 5)), ValueError, r'mean of shape \(2, 6\)'),
    (dict(mean=torch.zeros(2, 6).double()), TypeError, 'mean of type'),
    (
        dict(spread=torch.zeros(2, 3)),
        ValueError,
        r'spread of shape \(2, 3, 2\)',
    ),
]


@registered
@pytest.mark.parametrize(
    'operator, change, error, words',
    [
        *(('enhance', *case) for case in FORWARD),
        (
            'enhance',
            dict(identity=torch.zeros(1)),
            ValueError,
            'identity of the',
        ),
        (
            'enhance',
            dict(identity=torch.zeros(2, 6, 4, 5).half()),
            TypeError,
            'identity of the type',
        ),
        *(('enhance_backward', *case) for case in FORWARD + BACKWARD),
    ],
)
def test_raw_operators_refuse_what_would_read_other_memory(
    operator, change, error, words
):
    x, identity, weight, bias, scale, shift, grad = leaves(
        (2, 6, 4, 5), 3, torch.float32
    )
    arguments = dict(
        x=x,
        weight=weight,
        bias=bias,
        scale=scale,
        shift=shift,
        running_mean=scale,
        running_var=scale,
        groups=3,
        eps=1e-5,
        norm_eps=1e-3,
        normalize=True,
    )
    if operator == 'enhance':
        arguments['identity'] = identity
    else:
        arguments.update(
            grad_y=grad,
            y=x,
            mean=torch.zeros(2, 6),
            spread=torch.zeros(2, 3, 2),
        )
    call = getattr(torch.ops.sge_mmdet, operator)
    call(**arguments)
    with pytest.raises(error, match=words):
        call(**{**arguments, **change})


@registered
@pytest.mark.parametrize(
    'stride',
    [
        lambda t: (
            t.clone(memory_format=torch.contiguous_format)
            .transpose(0, 1)
            .contiguous()
            .transpose(0, 1)
        ),
        lambda t: torch.stack([t, t], -1)[..., 0],
    ],
    ids=['transposed', 'gaps'],
)
def test_raw_backward_takes_statistics_of_any_strides(stride):
    x, _, weight, bias, *_, grad = leaves((2, 6, 4, 5), 3, torch.float32)
    options = None, None, None, None, 3, 1e-5, 1e-3, True
    _, mean, spread = torch.ops.sge_mmdet.enhance(
        x, weight, bias, *options[:4], None, *options[4:]
    )
    want, got = (
        torch.ops.sge_mmdet.enhance_backward(
            grad, x, None, *statistics, weight, bias, *options
        )
        for statistics in ((mean, spread), (stride(mean), stride(spread)))
    )
    for a, b in zip(got, want):
        assert torch.equal(a, b)


@registered
@pytest.mark.parametrize('layout', [NORMAL, LAST])
def test_compiling_does_not_break_the_graph_nor_change_results(layout):
    case = leaves((2, 12, 5, 7), 3, torch.float32)
    statistics = fixed_norm(*case[4:6])[2:]

    def function(x, identity, weight, bias, scale, shift):
        y = spatial_group_enhance(x.relu(), weight, bias, 3)
        return spatial_group_enhance_residual(
            y,
            identity,
            weight,
            bias,
            3,
            1e-5,
            True,
            FixedNorm(scale, shift, *statistics),
        ).sin()

    results = []
    for call in (
        function,
        torch.compile(function, fullgraph=True, backend='aot_eager'),
    ):
        tensors = [
            tensor.clone().to(memory_format=layout)
            if tensor.shape == case[0].shape
            else tensor.clone()
            for tensor in case[:6]
        ]
        y = call(*(tensor.requires_grad_() for tensor in tensors))
        y.backward(case[6])
        results.append([y.detach(), *(tensor.grad for tensor in tensors)])
    for a, b in zip(*results):
        torch.testing.assert_close(a, b)
        assert a.stride() == b.stride()


@exportable
def test_exported_programs_hold_the_operator_and_take_other_sizes():
    class Layer(torch.nn.Module):
        def forward(self, x, weight, bias):
            return spatial_group_enhance(x, weight, bias, 3)

    x, _, weight, bias, *_ = leaves((2, 12, 5, 7), 3, torch.float32)
    height, width = (
        torch.export.Dim(name, min=2, max=64) for name in ('height', 'width')
    )
    program = torch.export.export(
        Layer(),
        (x, weight, bias),
        dynamic_shapes=({2: height, 3: width}, None, None),
    )
    assert 'sge_mmdet.enhance' in program.graph_module.code
    other = torch.randn(2, 12, 9, 6)
    torch.testing.assert_close(
        program.module()(other, weight, bias),
        spatial_group_enhance(other, weight, bias, 3),
    )


def test_traces_hold_pytorch_operators_alone():
    x, _, weight, bias, *_ = leaves((1, 12, 5, 7), 3, torch.float32)
    trace = torch.jit.trace(
        lambda *args: spatial_group_enhance(*args, 3), (x, weight, bias)
    )
    assert 'sge_mmdet::' not in str(trace.graph)
    for other in torch.randn(3, 12, 8, 9), torch.randn(2, 12, 1, 1):
        torch.testing.assert_close(
            trace(other, weight, bias),
            spatial_group_enhance(other, weight, bias, 3),
        )


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
        spatial_group_enhance(x, 0 * p, p, 2), x * p[0, 0].sigmoid()
    )


def test_backend_that_cannot_run_says_why(monkeypatch):
    x = torch.rand(1, 4, 2, 2)
    with use_backend('native'), pytest.raises(
        RuntimeError, match=r'float16 on cpu|not built'
    ):
        backend_for(x.half())
    monkeypatch.setattr(native, 'library', lambda: None)
    with use_backend('native'), pytest.raises(
        RuntimeError, match=r'C\+\+ compiler'
    ):
        backend_for(x)
    with pytest.raises(ValueError, match=r"native, triton.*got 'fast'"):
        with use_backend('fast'):
            pass


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
        with use_backend('triton'), pytest.raises(
            RuntimeError, match='float64'
        ):
            backend_for(torch.ones(1, 4, 2, 2).double())


def test_triton_on_a_cpu_needs_the_interpreter(monkeypatch):
    pytest.importorskip('triton')
    monkeypatch.setattr(
        dispatch.load_backend('triton'), 'IS_INTERPRETED', False
    )
    with use_backend('triton'), pytest.raises(RuntimeError, match='on cpu'):
        backend_for(torch.ones(1, 4, 2, 2))


@pytest.mark.parametrize(
    'value, words',
    [
        ('reference', 'reference'),
        ('slow', "SGE_MMDET_BACKEND takes one of native, .*got 'slow'"),
    ],
)
def test_environment_variable_names_the_backend(value, words):
    code = (
        'import torch; from sge_mmdet.ops import backend_for; '
        'print(backend_for(torch.rand(1, 4, 2, 2)))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, 'SGE_MMDET_BACKEND': value},
    )
    assert re.search(words, done.stdout + done.stderr)


@pytest.mark.parametrize(
    'change, error, words',
    [
        (
            dict(weight=torch.zeros(1, 3, 1, 1, device='meta')),
            ValueError,
            'weight on the device of x, cpu, got one on meta',
        ),
        (
            dict(identity=torch.zeros(1, 6, 4, 4, device='meta')),
            ValueError,
            'identity on the device of x',
        ),
        (
            dict(identity=torch.zeros(1, 6, 4, 5)),
            ValueError,
            r'\(1, 6, 4, 5\)',
        ),
        (dict(identity=torch.zeros(1, 6, 4, 4).half()), TypeError, 'float16'),
        (dict(norm=FixedNorm(None, torch.ones(6))), ValueError, 'together'),
        (
            dict(norm=FixedNorm(torch.ones(5), torch.ones(5))),
            ValueError,
            r'scale of shape \(6,\), got \(5,\)',
        ),
        (
            dict(norm=FixedNorm(*torch.ones(3, 6), torch.ones(5))),
            ValueError,
            r'running variance of shape \(6,\), got \(5,\)',
        ),
        (
            dict(norm=FixedNorm(*torch.ones(2, 6), torch.ones(6))),
            ValueError,
            'mean and variance',
        ),
        (dict(weight=None), TypeError, 'weight that is a torch.Tensor, got'),
        (dict(bias=[1.0]), TypeError, r'bias that .*, got builtins\.list'),
        (dict(x=np.zeros((1, 6, 4, 4))), TypeError, r'map .*numpy\.ndarray'),
        (dict(identity=2.0), TypeError, r'identity .*, got builtins\.float'),
        (
            dict(norm=FixedNorm(torch.ones(6), np.ones(6))),
            TypeError,
            r'shift .*, got numpy\.ndarray',
        ),
        (
            dict(groups=np.int64(3)),
            ValueError,
            r'an int, got groups=.*int64.*; pass int\(groups\)',
        ),
        (dict(eps='a'), TypeError, "got eps='a' of type str; pass a float"),
        (dict(eps=0.0), ValueError, r'eps must be positive, got 0\.0'),
        (dict(eps=-1e-5), ValueError, 'eps must be positive, got -1e-05'),
    ],
)
def test_bad_arguments_of_the_residual_are_refused(change, error, words):
    arguments = dict(
        x=torch.zeros(1, 6, 4, 4),
        groups=3,
        identity=torch.zeros(1, 6, 4, 4),
        weight=torch.zeros(1, 3, 1, 1),
        bias=torch.zeros(1, 3, 1, 1),
    )
    with pytest.raises(error, match=words):
        spatial_group_enhance_residual(**{**arguments, **change})
