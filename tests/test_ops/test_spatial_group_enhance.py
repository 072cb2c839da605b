import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sge_mmdet.ops import check_groups, spatial_group_enhance
from tests.helpers import golden, numpy_sge

TOLERANCE = {
    torch.float64: 1e-9,
    torch.float32: 1e-5,
    torch.float16: 2e-3,
    torch.bfloat16: 1.6e-2,
}


def inputs(shape, groups, seed=0, scale=1.0):
    random = np.random.default_rng(seed)
    x, grad_y = scale * random.standard_normal((2, *shape))
    weight, bias = random.standard_normal((2, 1, groups, 1, 1))
    return x, weight, bias, grad_y


def run(x, weight, bias, grad_y, groups, dtype=torch.float64, **kwargs):
    """Return output and gradients; x in dtype, parameters as in a model."""
    parameter_dtype = torch.promote_types(dtype, torch.float32)
    leaves = [torch.tensor(x, dtype=dtype, requires_grad=True)] + [
        torch.tensor(p, dtype=parameter_dtype, requires_grad=True)
        for p in (weight, bias)
    ]
    y = spatial_group_enhance(*leaves, groups, **kwargs)
    y.backward(torch.tensor(grad_y, dtype=dtype))
    return [y.detach(), *(leaf.grad for leaf in leaves)]


def expected(x, weight, bias, grad_y, groups, **kwargs):
    return [
        numpy_sge.forward(x, weight, bias, groups, **kwargs),
        *numpy_sge.backward(x, weight, bias, grad_y, groups, **kwargs),
    ]


def assert_close(got, want, tolerance):
    for name, a, b in zip(
        ('y', 'grad_x', 'grad_weight', 'grad_bias'), got, want
    ):
        a = a.double().numpy()
        scale = max(1.0, np.abs(b).max(initial=0.0))
        np.testing.assert_allclose(
            a, b, rtol=tolerance, atol=tolerance * scale, err_msg=name
        )


@pytest.mark.parametrize('case', ['case0', 'case1', 'case2'])
def test_output_and_gradients_equal_the_authors(case):
    data = np.load(golden.DATA / 'sge_module_golden.npz')
    x, weight, bias, grad_y = (
        data[f'{case}.{name}'] for name in ('x', 'weight', 'bias', 'grad_y')
    )
    got = run(x, weight, bias, grad_y, int(data[f'{case}.groups']))
    want = [
        data[f'{case}.{name}']
        for name in ('y', 'grad_x', 'grad_weight', 'grad_bias')
    ]
    assert_close(got, want, 1e-10)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    n=st.integers(1, 3),
    groups=st.integers(1, 5),
    c=st.integers(1, 5),
    h=st.integers(1, 9),
    w=st.integers(1, 9),
    normalize=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape_agrees_with_numpy(n, groups, c, h, w, normalize, seed):
    case = inputs((n, groups * c, h, w), groups, seed)
    assert_close(
        run(*case, groups, normalize=normalize),
        expected(*case, groups, normalize=normalize),
        1e-8,
    )


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('normalize', [True, False])
def test_every_dtype_agrees_with_float64_on_the_same_values(dtype, normalize):
    x, weight, bias, grad_y = (
        torch.tensor(a).to(dtype).double().numpy()
        for a in inputs((2, 12, 13, 17), 3)
    )
    got = run(x, weight, bias, grad_y, 3, dtype, normalize=normalize)
    assert got[0].dtype == got[1].dtype == dtype
    assert_close(
        got,
        expected(x, weight, bias, grad_y, 3, normalize=normalize),
        TOLERANCE[dtype],
    )


@pytest.mark.parametrize('normalize', [True, False])
def test_gradcheck(normalize):
    x, weight, bias, _ = (
        torch.tensor(a, requires_grad=True) for a in inputs((2, 6, 4, 3), 3)
    )
    assert torch.autograd.gradcheck(
        lambda *args: spatial_group_enhance(*args, 3, normalize=normalize),
        (x, weight, bias),
    )


@pytest.mark.parametrize('shape', [(2, 6, 5, 7), (1, 6, 1, 5), (3, 6, 4, 1)])
@pytest.mark.parametrize('dtype', TOLERANCE)
def test_channels_last_in_gives_channels_last_out(shape, dtype):
    x, weight, bias, _ = (
        torch.tensor(a, dtype=dtype) for a in inputs(shape, 3)
    )
    last = x.to(memory_format=torch.channels_last)
    y = spatial_group_enhance(last, weight, bias, 3)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert spatial_group_enhance(x, weight, bias, 3).is_contiguous()
    torch.testing.assert_close(y, spatial_group_enhance(x, weight, bias, 3))


def test_sliced_and_expanded_inputs_agree_with_contiguous_ones():
    x, weight, bias, _ = map(torch.tensor, inputs((4, 12, 10, 10), 3))
    for view in (
        x[::2, :, 1::2, ::3],
        x[:, 6:],
        x.transpose(2, 3),
        x[:1].expand(3, -1, -1, -1),
    ):
        torch.testing.assert_close(
            spatial_group_enhance(view, weight, bias, 3),
            spatial_group_enhance(view.contiguous(), weight, bias, 3),
        )


@pytest.mark.parametrize('dtype', TOLERANCE)
def test_one_position_is_scaled_by_the_bias_alone(dtype):
    x, weight, bias, grad_y = inputs((2, 6, 1, 1), 3)
    got = run(x, weight, bias, grad_y, 3, dtype)
    gate = 1 / (1 + np.exp(-bias)).repeat(2, 1)
    np.testing.assert_allclose(
        got[0].double().numpy(), x * gate, rtol=TOLERANCE[dtype]
    )
    assert all(torch.isfinite(tensor).all() for tensor in got)
    assert (got[2] == 0).all()


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('value', [0.0, 1.0, -3.0, 100.0, 1234.567])
def test_constant_map_is_scaled_by_the_bias_alone(dtype, value):
    x, weight, bias, grad_y = inputs((2, 6, 5, 5), 3)
    x = np.full_like(x, value)
    assert_close(
        run(x, weight, bias, grad_y, 3, dtype),
        expected(
            torch.tensor(x, dtype=dtype).double().numpy(),
            weight,
            bias,
            grad_y,
            3,
        ),
        2 * TOLERANCE[dtype],
    )


@pytest.mark.parametrize(
    'layout', [torch.contiguous_format, torch.channels_last]
)
@pytest.mark.parametrize('c, size', [(8, 5), (16, 7), (32, 13), (64, 25)])
@pytest.mark.parametrize('dtype', TOLERANCE)
def test_map_that_is_constant_over_positions_has_no_similarity(
    dtype, c, size, layout
):
    """Sums over the channels round differently from position to position."""
    groups = 4
    weight, bias = torch.full((2, 1, groups, 1, 1), 2.0).to(
        torch.promote_types(dtype, torch.float32)
    )
    values = torch.from_numpy(inputs((1, c * groups, 1, 1), groups)[0])
    x = (
        values.to(dtype)
        .expand(2, -1, size, size)
        .contiguous(memory_format=layout)
        .requires_grad_()
    )
    y = spatial_group_enhance(x, weight, bias, groups)
    gate = torch.tensor(2.0, dtype=torch.float64).sigmoid()
    torch.testing.assert_close(
        y.double(), x.double() * gate, rtol=2 * TOLERANCE[dtype], atol=0
    )
    y.backward(torch.randn_like(y))
    assert x.grad.abs().max() < 10


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('scale', ['tiny', 'huge'])
def test_tiny_and_huge_values_give_finite_results(dtype, scale):
    info = torch.finfo(dtype)
    magnitude = info.tiny if scale == 'tiny' else min(info.max, 1e8)
    x, weight, bias, grad_y = inputs((2, 32, 9, 9), 2)
    x = np.clip(x / 4, -1, 1) * magnitude
    got = run(x, weight, bias, grad_y / 1e3, 2, dtype)
    assert all(torch.isfinite(tensor).all() for tensor in got)
    if scale == 'huge':
        # Normalisation takes the magnitude out: the gate is that of x / max.
        gate = got[0].double() / torch.tensor(x, dtype=dtype).double()
        want = numpy_sge.forward(x / magnitude * 1e3, weight, bias, 2) / (
            x / magnitude * 1e3
        )
        np.testing.assert_allclose(gate.numpy(), want, rtol=0.05, atol=0.05)


@pytest.mark.parametrize('groups', [1, 6])
def test_one_group_and_one_channel_a_group(groups):
    case = inputs((2, 6, 4, 5), groups)
    assert_close(run(*case, groups), expected(*case, groups), 1e-9)


@pytest.mark.parametrize('shape', [(0, 6, 4, 5), (2, 6, 0, 5)])
def test_empty_maps_pass_through(shape):
    x, weight, bias, grad_y = inputs(shape, 3)
    got = run(x, weight, bias, grad_y, 3)
    assert got[0].shape == got[1].shape == shape
    assert (got[2] == 0).all() and (got[3] == 0).all()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_keeps_the_type_and_the_precision(dtype):
    x, weight, bias, _ = (
        torch.tensor(a, dtype=torch.float32) for a in inputs((2, 12, 9, 9), 3)
    )
    try:
        with torch.autocast('cpu', dtype=dtype):
            pass
    except RuntimeError as error:
        pytest.skip(f'before torch 2.2: {error}')
    with torch.autocast('cpu', dtype=dtype):
        single = spatial_group_enhance(x, weight, bias, 3)
        half = spatial_group_enhance(x.to(dtype), weight, bias, 3)
    assert torch.equal(single, spatial_group_enhance(x, weight, bias, 3))
    assert torch.equal(
        half, spatial_group_enhance(x.to(dtype), weight, bias, 3)
    )


@pytest.mark.parametrize(
    'groups, nearest', [(48, '32 and 64'), (512, '256'), (0, '1'), (-3, '1')]
)
def test_groups_that_do_not_divide_are_refused_with_the_nearest(
    groups, nearest
):
    with pytest.raises(ValueError) as error:
        check_groups(256, groups)
    assert f'groups={groups}' in str(error.value)
    assert '256 channels' in str(error.value)
    assert str(error.value).endswith(f'nearest that work: {nearest}')


@pytest.mark.parametrize(
    'change, error, words',
    [
        (dict(x=torch.zeros(6, 4, 4)), ValueError, r'\(6, 4, 4\)'),
        (
            dict(x=torch.zeros(1, 6, 4, 4, dtype=torch.int32)),
            TypeError,
            'int32',
        ),
        (
            dict(x=torch.zeros(1, 6, 4, 4, dtype=torch.cfloat)),
            TypeError,
            'complex64',
        ),
        (dict(groups=4), ValueError, 'groups=4 for 6 channels'),
        (dict(groups=2.0), ValueError, 'groups=2.0'),
        (dict(weight=torch.zeros(3)), ValueError, r'weight.*got \(3,\)'),
        (
            dict(bias=torch.zeros(1, 2, 1, 1)),
            ValueError,
            r'bias.*\(1, 2, 1, 1\)',
        ),
    ],
)
def test_bad_arguments_are_refused_with_their_value(change, error, words):
    arguments = dict(
        x=torch.zeros(1, 6, 4, 4),
        groups=3,
        weight=torch.zeros(1, 3, 1, 1),
        bias=torch.zeros(1, 3, 1, 1),
    )
    with pytest.raises(error, match=words):
        spatial_group_enhance(**{**arguments, **change})


def test_ops_need_torch_alone():
    code = """
import sys
import importlib.util, importlib.metadata, warnings
import torch
# What the rest of the package needs.
others = {'mmdet', 'mmcv', 'mmengine', 'pycocotools', 'hotcoco', 'msgspec',
          'scipy', 'matplotlib', 'tqdm', 'cv2', 'skimage', 'sklearn', 'triton'}
class OnlyTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in others:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, OnlyTorch())
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: (
    None if name.split('.')[0] in others else real(name, *a))
import sge_mmdet
from sge_mmdet.ops import spatial_group_enhance
one = torch.ones(1, 1, 1, 1)
print(spatial_group_enhance(one, one, one, 1).item())
try:
    sge_mmdet.SGEResNet
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        check=True,
    )
    value, message = done.stdout.splitlines()
    assert float(value) == pytest.approx(0.731058, abs=1e-6)
    assert 'needs mmengine, mmcv, mmdet' in message
