"""What computes SGE, and what it is compared with."""

from typing import Callable, Dict, NamedTuple, Optional, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sge_mmdet.ops import (
    FixedNorm,
    backend_for,
    spatial_group_enhance,
    spatial_group_enhance_residual,
)

GROUPS = 64
EPS = 1e-5


class Provider(NamedTuple):
    """Something that is timed.

    Attributes:
        function: Function of a list of tensors, which returns a tensor.
        backend: The backend of this package that it runs on, or None for the
            usual one.
    """

    function: Callable[[Sequence[Tensor]], Tensor]
    backend: Optional[str] = None


def authors_formula(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Compute SGE by the operations of the paper's authors, in x's type.

    Args:
        x (Tensor): Feature map of shape (N, C, H, W).
        weight (Tensor): w of shape (1, G, 1, 1).
        bias (Tensor): b of shape (1, G, 1, 1).
    """
    images, _, height, width = x.shape
    # In channels-last a copy, which the authors' view would refuse to make.
    grouped = x.reshape(images * GROUPS, -1, height, width)
    pooled = F.adaptive_avg_pool2d(grouped, 1)
    similarity = (grouped * pooled).sum(1, keepdim=True)
    flat = similarity.view(images * GROUPS, -1)
    flat = flat - flat.mean(1, keepdim=True)
    flat = flat / (flat.std(1, keepdim=True) + EPS)
    gate = flat.view(images, GROUPS, height, width) * weight + bias
    gate = gate.view(images * GROUPS, 1, height, width).sigmoid()
    return (grouped * gate.to(x.dtype)).view_as(x)


def operator_providers(
    x: Tensor, compiled: bool, backends: Sequence[str]
) -> Dict[str, Provider]:
    """Return what computes SGE alone, by name; the first is the baseline.

    Their tensors are x, weight and bias.

    Args:
        x (Tensor): Feature map.
        compiled (bool): Whether the compiled formula is among them.
        backends (Sequence[str]): Backends of this package, besides the
            usual one.
    """

    def formula(tensors: Sequence[Tensor]) -> Tensor:
        return authors_formula(*tensors)

    def ours(tensors: Sequence[Tensor]) -> Tensor:
        return spatial_group_enhance(*tensors, GROUPS)

    return _with_ours(
        "authors' formula", formula, ours, Floor.apply, x, compiled, backends
    )


def block_end_providers(
    x: Tensor, compiled: bool, backends: Sequence[str]
) -> Dict[str, Provider]:
    """Return what computes the end of a residual block.

    Their tensors are x, the identity, weight and bias of SGE, and weight,
    bias, mean and variance of the norm. The one without SGE is what a plain
    network runs in its place.

    Args:
        x (Tensor): Feature map.
        compiled (bool): Whether the compiled formula is among them.
        backends (Sequence[str]): Backends of this package, besides the
            usual one.
    """

    def norm(x: Tensor, vectors: Sequence[Tensor]) -> Tensor:
        scale, shift, mean, variance = vectors
        return F.batch_norm(x, mean, variance, scale, shift, eps=EPS)

    def formula(tensors: Sequence[Tensor]) -> Tensor:
        x, identity, weight, bias, *vectors = tensors
        return torch.relu(
            authors_formula(norm(x, vectors), weight, bias) + identity
        )

    def plain(tensors: Sequence[Tensor]) -> Tensor:
        x, identity, _, _, *vectors = tensors
        return torch.relu(norm(x, vectors) + identity)

    def ours(tensors: Sequence[Tensor]) -> Tensor:
        x, identity, weight, bias, *vectors = tensors
        return spatial_group_enhance_residual(
            x, identity, weight, bias, GROUPS, norm=FixedNorm(*vectors, EPS)
        )

    providers = _with_ours(
        "authors' formula",
        formula,
        ours,
        BlockEndFloor.apply,
        x,
        compiled,
        backends,
    )
    return {**providers, 'block without SGE': Provider(plain)}


def _with_ours(
    baseline: str,
    formula: Callable,
    ours: Callable,
    floor: Callable,
    x: Tensor,
    compiled: bool,
    backends: Sequence[str],
) -> Dict[str, Provider]:
    providers = {baseline: Provider(formula)}
    if compiled:
        torch._dynamo.reset()
        providers[f'{baseline}, compiled'] = Provider(
            torch.compile(formula, dynamic=False)
        )
    usual = backend_for(x, GROUPS)
    providers[f'ours ({usual})'] = Provider(ours)
    for name in backends:
        if name != usual:
            providers[f'ours ({name})'] = Provider(ours, name)
    providers['floor'] = Provider(lambda tensors: floor(*tensors))
    return providers


class Floor(torch.autograd.Function):
    """One read and one write forward, two reads and one write backward."""

    @staticmethod
    def forward(ctx: object, x: Tensor, *_: Tensor) -> Tensor:
        """Read x, write y."""
        ctx.save_for_backward(x)
        return x * 2.0

    @staticmethod
    def backward(ctx: object, grad_y: Tensor) -> tuple:
        """Read x and the gradient, write that of x."""
        return ctx.saved_tensors[0] + grad_y, None, None


class BlockEndFloor(torch.autograd.Function):
    """Two reads and a write forward, three reads and two writes backward."""

    @staticmethod
    def forward(
        ctx: object, x: Tensor, identity: Tensor, *_: Tensor
    ) -> Tensor:
        """Read x and the identity, write y."""
        y = x + identity
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: object, grad_y: Tensor) -> tuple:
        """Read x, y and the gradient, write those of x and the identity."""
        x, y = ctx.saved_tensors
        return (
            torch.addcmul(grad_y, x, y),
            torch.full_like(grad_y, 2.0),
            *[None] * 6,
        )
