"""Inputs and outputs of the two passes of SGE, which every backend has.

A backend is a module with ``forward(inputs, outputs)``, which fills the
outputs, and ``backward(inputs, outputs, grad_y, gradients)``, which fills the
gradients. Maps that it is given are dense, all in one layout: NCHW or
channels-last.
"""

from typing import Any, NamedTuple, Optional, Tuple

import torch
from torch import Tensor


class FixedNorm(NamedTuple):
    r"""A norm whose statistics are fixed, as a batch norm's in evaluation.

    It is :math:`z = (x - \mathrm{mean}) / \sqrt{\mathrm{variance} +
    \mathrm{eps}} \cdot \mathrm{scale} + \mathrm{shift}`, or without
    statistics :math:`z = x \cdot \mathrm{scale} + \mathrm{shift}`. Without
    shift it is a scale alone.

    Attributes:
        scale: Per-channel scale of shape (C,).
        shift: Per-channel shift of shape (C,), or None for zeros.
        mean: Running mean of shape (C,), or None.
        variance: Running variance of shape (C,); given where the mean is.
        eps: Added to the variance.
    """

    scale: Tensor
    shift: Optional[Tensor] = None
    mean: Optional[Tensor] = None
    variance: Optional[Tensor] = None
    eps: float = 1e-5

    def affine(self, dtype: torch.dtype) -> 'tuple[Tensor, Optional[Tensor]]':
        """Return the norm as one scale and one shift of each channel.

        The shift is None where nothing is added.

        Args:
            dtype: The type to compute in.
        """
        scale = self.scale.to(dtype)
        shift = None if self.shift is None else self.shift.to(dtype)
        if self.mean is None or self.variance is None:
            return scale, shift
        scale = scale * torch.rsqrt(self.variance.to(dtype) + self.eps)
        centre = self.mean.to(dtype) * scale
        return scale, -centre if shift is None else shift - centre


class Inputs(NamedTuple):
    """Tensors and options from which SGE is computed.

    Attributes:
        x: Feature map of shape (N, C, H, W).
        weight: w of shape (1, G, 1, 1).
        bias: b of shape (1, G, 1, 1).
        norm: The norm before SGE, or None.
        identity: Map added before ReLU, of the shape and type of x; None
            without addition and ReLU. The backward pass does without it.
        groups: Number of groups G.
        eps: Added to the standard deviation.
        normalize: Whether to normalise the similarity.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor
    norm: Optional[FixedNorm]
    identity: Optional[Tensor]
    groups: int
    eps: float
    normalize: bool

    def flatten(self) -> 'Tuple[FlatTensors, FlatOptions]':
        """Return tensors and options as an operator of PyTorch takes them.

        Tensors are x, weight, bias, the norm's scale, shift, mean and
        variance, and the identity; options are groups, eps, the norm's eps
        and normalize.
        """
        x, weight, bias, norm, identity, groups, eps, normalize = self
        *vectors, norm_eps = norm or NO_NORM
        return (
            (x, weight, bias, *vectors, identity),
            (groups, eps, norm_eps, normalize),
        )

    @classmethod
    def unflatten(cls, tensors: Any, options: Any) -> 'Inputs':
        """Return the structure of what :meth:`flatten` returns."""
        x, weight, bias, scale, shift, mean, variance, identity = tensors
        groups, eps, norm_eps, normalize = options
        norm = None
        if not scale is shift is mean is variance is None:
            norm = FixedNorm(scale, shift, mean, variance, norm_eps)
        return cls(x, weight, bias, norm, identity, groups, eps, normalize)


NO_NORM = (None, None, None, None, 0.0)
FlatTensors = Tuple[Optional[Tensor], ...]
FlatOptions = Tuple[int, float, float, bool]


class Outputs(NamedTuple):
    """Result of a forward pass, which the backward pass takes.

    Attributes:
        y: The result, as x; for the backward pass None without ReLU.
        mean: Mean of each channel behind the norm; shape (N, C).
        spread: Two numbers of each group; shape (N, G, 2). The first is the
            mean of m . (z - m), which rounding of m leaves, over that of
            m . m: with r this number, the mean of m . (z - m - r m) is 0. The
            second is the unbiased standard deviation of the similarity, 0
            where it is no more than rounding. Zeros without normalisation.
    """

    y: Optional[Tensor]
    mean: Tensor
    spread: Tensor


class Gradients(NamedTuple):
    """Gradients of the inputs; those of parameters are summed over images.

    Attributes:
        x: Gradient of x; shape and type of x.
        weight: Gradient of w: G values in the type of sums.
        bias: Gradient of b: G values in the type of sums.
        scale: Gradient of the norm's scale: C values in the type of sums, or
            None.
        shift: Gradient of the norm's shift, as that of the scale, or None.
        identity: Gradient of the identity, or None.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor
    scale: Optional[Tensor]
    shift: Optional[Tensor]
    identity: Optional[Tensor]


def sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the type of sums over maps of a type: float32 or float64."""
    return torch.float64 if dtype == torch.float64 else torch.float32
