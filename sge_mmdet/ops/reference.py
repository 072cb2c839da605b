r"""Spatial Group-wise Enhance (SGE) in plain PyTorch: the specification.

For every image and every one of the G groups of c = C / G channels, with
:math:`x_p` the c numbers at position p of the P = H * W positions
(X. Li, X. Hu, J. Yang, "Spatial Group-wise Enhance", arXiv 1905.09646):

.. math::
    m   &= \frac{1}{P} \sum_p x_p            && \text{global descriptor} \\
    d_p &= m \cdot x_p                       && \text{similarity} \\
    t_p &= \frac{d_p - \mu}{s + \epsilon}    && \text{normalisation} \\
    y_p &= x_p \, \sigma(w \, t_p + b)       && \text{gate}

where :math:`\mu` is the mean and s the unbiased standard deviation of d over
the positions, and (w, b) is one pair per group. Where s is no more than what
rounding leaves of a constant map (:func:`noise_level`), t is 0 and carries no
gradient.

The mean of d is :math:`|m|^2`, so that :math:`d_p - \mu = m \cdot (x_p - m)`.
This is how it is computed: of large numbers that are close to each other, d
and :math:`\mu` would have lost the digits in which they differ. Since m is
rounded, the mean of :math:`m \cdot (x_p - m)` is not quite 0; it is
subtracted as well.

Every faster implementation in this package is held against this one.
"""

from typing import Optional, Tuple

import torch
from torch import Tensor

from .passes import FixedNorm


def spatial_group_enhance_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    eps: float = 1e-5,
    normalize: bool = True,
) -> Tensor:
    """Compute SGE step by step as the formula says.

    The arguments are those of
    :func:`sge_mmdet.ops.spatial_group_enhance`, unchecked.
    """
    gate = gate_reference(x, weight, bias, groups, eps, normalize)[2]
    y = x.unflatten(1, (groups, -1)).to(gate.dtype) * gate
    # Not flatten, after which a trace keeps the shape that it saw. Not a view:
    # ResNet adds to it in place, which autograd refuses for a view that leaves
    # a gradient checkpoint.
    return y.reshape(x.shape).to(x.dtype, copy=True)


def gate_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    eps: float = 1e-5,
    normalize: bool = True,
) -> Tuple[Tensor, Tensor, Tensor]:
    """Compute what SGE scales its groups by, and what that comes from.

    The arguments are those of
    :func:`sge_mmdet.ops.spatial_group_enhance`, unchecked.

    Returns:
        The similarity d, the normalised t, and the gate, at least in float32;
        each of shape (N, G, 1, H, W).
    """
    # d sums products of activations: float16 would overflow and bfloat16
    # would keep two digits of it. No operator below is one that autocast
    # would turn back.
    dtype = torch.promote_types(x.dtype, torch.float32)
    # A view in NCHW and in channels-last alike: (N, G, c, H, W).
    x_g = x.unflatten(1, (groups, -1)).to(dtype)
    m = x_g.mean((3, 4), keepdim=True)
    t = d = (m * x_g).sum(2, keepdim=True)
    if normalize:
        positions = x.shape[2] * x.shape[3]
        mu = (m * m).sum(2, keepdim=True)
        centred = (m * (x_g - m)).sum(2, keepdim=True)
        centred = centred - centred.mean((3, 4), keepdim=True)
        # max(positions - 1, 1), in arithmetic: a trace would keep the answer
        # to a question about the size it saw.
        freedom = positions - 1 + 2 // (positions + 1)
        s = (
            centred.std((3, 4), correction=0, keepdim=True)
            * (d.new_ones(()) * positions / freedom).sqrt()
        )
        # Without spread, as in a constant map or one of a single position, t
        # would be what rounding left of d - mu, over eps.
        noise = noise_level(dtype) * mu
        t = torch.where(s <= noise, 0.0, centred / (s + eps))
    w = weight.to(dtype).unsqueeze(2)
    b = bias.to(dtype).unsqueeze(2)
    return d, t, torch.sigmoid(w * t + b)


def noise_level(dtype: torch.dtype) -> float:
    r"""Return the largest s of a constant map, in units of :math:`|m|^2`.

    With u the machine epsilon, m is rounded by a few u m, and so in a constant
    map :math:`x - m` is a few u m instead of 0. It is the same at all
    positions. Only the rounding of :math:`m \cdot (x - m)` can differ between
    them, which is a few :math:`u^2 |m|^2`. In a map whose values differ in
    their last digit alone, s is about :math:`u |m|^2`, and
    :math:`m \cdot (x - m)` still has most of its digits. The level is the
    geometric mean of the two, :math:`u^{1.5}`: in float32 it is 3000 times as
    large as the one and as small as the other.

    A norm before SGE rounds z, here and in :mod:`sge_mmdet.ops.eager`, by u m
    as well. That counts as a difference: it is one of the map that SGE takes.

    Args:
        dtype: The type of sums.
    """
    return float(torch.finfo(dtype).eps ** 1.5)


def operator_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    norm: Optional[FixedNorm],
    identity: Optional[Tensor],
    groups: int,
    eps: float = 1e-5,
    normalize: bool = True,
) -> Tensor:
    """Compute the operator with all of its options, module by module.

    The arguments are those of :class:`sge_mmdet.ops.passes.Inputs`,
    unchecked.
    """
    y = spatial_group_enhance_reference(
        norm_reference(x, norm), weight, bias, groups, eps, normalize
    )
    if identity is not None:
        y = torch.relu(y + identity)
    return y.to(x.dtype)


def norm_reference(x: Tensor, norm: Optional[FixedNorm]) -> Tensor:
    """Apply a norm with fixed statistics, at least in float32.

    Args:
        x: Feature map of shape (N, C, H, W).
        norm: The norm; with None, x is returned as it is.
    """
    if norm is None:
        return x
    dtype = torch.promote_types(x.dtype, torch.float32)
    scale, shift = norm.affine(dtype)
    scale = scale.view(1, -1, 1, 1)
    if shift is None:
        return x.to(dtype) * scale
    return torch.addcmul(shift.view(1, -1, 1, 1), x.to(dtype), scale)
