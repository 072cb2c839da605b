"""Cases that every implementation of the operator is run on."""

import importlib.util
from importlib import metadata

import pytest
import torch
from mmengine.utils import digit_version

from sge_mmdet.ops import (
    FixedNorm,
    native,
    spatial_group_enhance,
    spatial_group_enhance_residual,
    use_backend,
)

NORMAL, LAST = torch.contiguous_format, torch.channels_last
TOLERANCE = {
    torch.float64: 1e-9,
    torch.float32: 2e-5,
    torch.float16: 2e-3,
    torch.bfloat16: 1.6e-2,
}
HAS_NATIVE = native.library() is not None
# Older ones have no interpreter that takes these kernels.
HAS_TRITON = importlib.util.find_spec('triton') is not None and digit_version(
    metadata.version('triton')
) >= (3,)
# The operator is registered with PyTorch from 2.4 on; programs are exported
# with free sizes from 2.6 on.
registered = pytest.mark.skipif(
    not hasattr(torch.library, 'custom_op'),
    reason='this PyTorch has no torch.library.custom_op',
)
exportable = pytest.mark.skipif(
    not hasattr(getattr(torch.export, 'Dim', None), 'DYNAMIC'),
    reason='this PyTorch has no torch.export.Dim.DYNAMIC',
)
BACKENDS = [
    pytest.param(
        'native',
        marks=pytest.mark.skipif(
            not HAS_NATIVE, reason='built without a C++ compiler'
        ),
    ),
    'torch',
    pytest.param(
        'triton',
        marks=pytest.mark.skipif(
            not HAS_TRITON, reason='Triton 3 is not installed'
        ),
    ),
    'reference',
]
DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'


def device_of(backend):
    return DEVICE if backend == 'triton' else 'cpu'


def takes(backend, dtype):
    return dtype not in dict(
        native=(torch.float16,), triton=(torch.float64,)
    ).get(backend, ())


def leaves(shape, groups, dtype=torch.float64, seed=0):
    """Return x, identity, weight, bias, scale, shift and a gradient."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*size):
        return torch.randn(size, generator=generator, dtype=torch.float64)

    kind = torch.promote_types(dtype, torch.float32)
    return [
        draw(*shape).to(dtype),
        draw(*shape).to(dtype),
        draw(1, groups, 1, 1).to(kind),
        draw(1, groups, 1, 1).to(kind),
        (0.5 + draw(shape[1]).abs()).to(kind),
        draw(shape[1]).to(kind),
        draw(*shape).to(dtype),
    ]


def fixed_norm(scale, shift):
    """Return a norm with statistics that its number of channels decides."""
    generator = torch.Generator().manual_seed(len(scale))
    mean, variance = torch.randn(
        (2, len(scale)), generator=generator, dtype=torch.float64
    ).to(scale)
    return FixedNorm(scale, shift, mean, 0.5 + variance.abs(), 1e-3)


def run(
    case, groups, backend, residual, normalize=True, layout=NORMAL, dtype=None
):
    """Return the result and all gradients, on the CPU, in float64."""
    *tensors, grad = (
        tensor.to(device_of(backend)).to(
            tensor.dtype if dtype is None else dtype,
            memory_format=layout
            if tensor.dim() == 4 and tensor.shape[1] == case[0].shape[1]
            else NORMAL,
        )
        for tensor in case
    )
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
                1e-5,
                normalize,
                fixed_norm(scale, shift),
            )
        else:
            used = [x, weight, bias]
            y = spatial_group_enhance(x, weight, bias, groups, 1e-5, normalize)
        gradients = torch.autograd.grad(y, used, grad)
    assert y.is_contiguous(memory_format=layout)
    assert all(g.dtype == leaf.dtype for g, leaf in zip(gradients, used))
    return [tensor.detach().cpu().double() for tensor in (y, *gradients)]


def assert_agrees(case, groups, backend, residual, tolerance, **options):
    got = run(case, groups, backend, residual, **options)
    options.pop('layout', None)
    want = run(
        case, groups, 'reference', residual, dtype=torch.float64, **options
    )
    for a, b in zip(got, want):
        torch.testing.assert_close(
            a,
            b,
            rtol=tolerance,
            atol=tolerance * max(1.0, float(b.abs().max())),
        )
