"""What the C++ kernels promise beyond the operator's results."""

import re
from pathlib import Path

import pytest
import torch

from sge_mmdet.ops import (
    native,
    spatial_group_enhance,
    spatial_group_enhance_residual,
    use_backend,
)
from tests.helpers.operator_cases import HAS_NATIVE, fixed_norm, leaves

CPU_FLAGS = Path('/proc/cpuinfo')
pytestmark = pytest.mark.skipif(
    not HAS_NATIVE, reason='built without a C++ compiler'
)


def outcome(case, groups, backend='native', residual=True):
    """Return the result and all gradients."""
    *tensors, grad = case
    x, identity, weight, bias, scale, shift = (
        tensor.detach().requires_grad_() for tensor in tensors
    )
    with use_backend(backend):
        if residual:
            used = [x, identity, weight, bias, scale, shift]
            y = spatial_group_enhance_residual(
                x,
                identity,
                weight,
                bias,
                groups,
                norm=fixed_norm(scale, shift),
            )
        else:
            used = [x, weight, bias]
            y = spatial_group_enhance(x, weight, bias, groups)
        return [y.detach(), *torch.autograd.grad(y, used, grad)]


@pytest.mark.parametrize('channels', [4, 32])
def test_large_means_keep_their_digits(channels):
    """Of m . x less its mean, the digits that differ would be lost."""
    case = leaves((2, 2 * channels, 25, 42), 2, torch.float32)
    case[0] = 1000 + 0.1 * case[0]
    got = outcome(case, 2, residual=False)
    want = outcome(
        [tensor.double() for tensor in case], 2, 'reference', residual=False
    )
    for a, b in zip(got, want):
        error = (a - b).abs().max() / b.abs().max()
        assert error < 1e-4, error


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_any_number_of_threads_gives_the_same_bits(dtype):
    """Also the gradients of parameters, which are sums over images."""
    case = leaves((5, 12, 47, 51), 3, dtype)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in 1, 2, 3:
            torch.set_num_threads(threads)
            results.append(outcome(case, 3))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))


@pytest.mark.parametrize(
    'shape, groups',
    [
        ((2, 12, 1, 1), 3),  # more channels than positions
        ((1, 10, 64, 65), 2),  # tiles and rows that no vector divides
    ],
)
def test_norm_is_folded_and_its_gradients_are_those_of_float64(shape, groups):
    case = leaves(shape, groups, torch.float32)
    got = outcome(case, groups)
    want = outcome([tensor.double() for tensor in case], groups, 'reference')
    for a, b in zip(got, want):
        torch.testing.assert_close(
            a.double(), b, rtol=2e-5, atol=2e-5 * float(b.abs().max())
        )


@pytest.mark.skipif(not CPU_FLAGS.is_file(), reason='needs /proc/cpuinfo')
def test_wide_vectors_run_on_any_processor_that_has_them():
    """A choice by the processor's name would leave out all later ones."""
    flags = set(re.findall(r'\w+', CPU_FLAGS.read_text()))
    assert native.library().sge_is_wide() == ({'avx2', 'fma'} <= flags)
