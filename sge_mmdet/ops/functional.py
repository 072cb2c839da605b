"""The SGE operator, alone and as the end of a residual block.

The formula stands in :mod:`sge_mmdet.ops.reference`. What computes it is
chosen in :mod:`sge_mmdet.ops.dispatch`; arguments are checked and gradients
defined in :mod:`sge_mmdet.ops.autograd`.
"""

from typing import Optional

import torch
from torch import Tensor

from .autograd import is_compiling, run_operator
from .checks import check_forward
from .dispatch import wants_reference
from .passes import FixedNorm, Inputs
from .reference import operator_reference


def spatial_group_enhance(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    eps: float = 1e-5,
    normalize: bool = True,
) -> Tensor:
    r"""Spatial Group-wise Enhance of a feature map (arXiv 1905.09646).

    Within each group of channels, every position is scaled by
    :math:`\sigma(w\,t + b)`, where t is the similarity between the position's
    features and their mean over the map, normalised over the map.

    Statistics are computed in float32 (float64 for float64 input), also under
    autocast. A map of one position and a constant map have t = 0.

    Args:
        x: Feature map of shape (N, C, H, W), of any floating point type, in
            NCHW or channels-last layout.
        weight: Scale w of shape (1, G, 1, 1).
        bias: Shift b of shape (1, G, 1, 1).
        groups: Number of groups G; it divides C.
        eps: Added to the standard deviation. Default: 1e-5.
        normalize: Whether to normalise the similarity; False is the ablation
            of the paper, t = d. Default: True.

    Returns:
        The enhanced map, with the shape, type and layout of ``x``.

    Raises:
        TypeError: If ``x`` is not of a real floating point type.
        ValueError: If a shape is not as above, ``groups`` does not divide C,
            or tensors are on different devices.

    Examples:
        >>> import torch
        >>> from sge_mmdet.ops import spatial_group_enhance
        >>> x = torch.rand(2, 64, 7, 7)
        >>> weight, bias = torch.zeros(1, 8, 1, 1), torch.ones(1, 8, 1, 1)
        >>> y = spatial_group_enhance(x, weight, bias, groups=8)
        >>> bool((y == x * torch.sigmoid(torch.tensor(1.0))).all())
        True
    """
    return enhance(Inputs(x, weight, bias, None, None, groups, eps, normalize))


def spatial_group_enhance_residual(
    x: Tensor,
    identity: Tensor,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    eps: float = 1e-5,
    normalize: bool = True,
    norm: Optional[FixedNorm] = None,
) -> Tensor:
    """Compute the end of a residual block, in one pass over its maps.

    It is ``relu(SGE(norm(x)) + identity)``: a norm with fixed statistics,
    SGE, the addition and ReLU.

    Args:
        x: Feature map of shape (N, C, H, W).
        identity: Added before ReLU; shape and type of ``x``.
        weight: Scale w of shape (1, G, 1, 1).
        bias: Shift b of shape (1, G, 1, 1).
        groups: Number of groups G; it divides C.
        eps: Added to the standard deviation. Default: 1e-5.
        normalize: Whether to normalise the similarity. Default: True.
        norm: The norm before SGE. Its scale and shift get gradients, its
            statistics none. Default: None.

    Returns:
        The result, with the shape, type and layout of ``x``.

    Raises:
        TypeError: If ``x`` is not of a real floating point type, or
            ``identity`` of another.
        ValueError: If a shape is not as above or ``groups`` does not divide C.

    Examples:
        >>> import torch
        >>> from sge_mmdet.ops import spatial_group_enhance_residual
        >>> x, identity = torch.randn(2, 1, 64, 7, 7)
        >>> weight, bias = torch.zeros(1, 8, 1, 1), torch.ones(1, 8, 1, 1)
        >>> y = spatial_group_enhance_residual(x, identity, weight, bias, 8)
        >>> bool(y.min() >= 0)
        True
    """
    return enhance(
        Inputs(x, weight, bias, norm, identity, groups, eps, normalize)
    )


def enhance(inputs: Inputs, may_overwrite: bool = False) -> Tensor:
    """Run the operator, or the formula step by step.

    Args:
        inputs: Tensors and options of the operator.
        may_overwrite: Whether the result may be written over x, where no
            gradient is wanted and the kernels can; for callers that do not
            need x any more. Default: False.

    Raises:
        TypeError: In the same cases as the functions above.
        ValueError: In the same cases as the functions above.
    """
    # A number of groups of another type would end in PyTorch's dispatcher.
    if isinstance(inputs.groups, int) and not _takes_reference():
        return run_operator(inputs, may_overwrite)
    check_forward(inputs)
    return operator_reference(*inputs)


def _takes_reference() -> bool:
    """Return whether the formula runs step by step.

    So it does in a trace and in an export to ONNX, which keep what they know,
    PyTorch's operators; and under forward-mode differentiation and the
    transforms of ``torch.func``, for which the operator has no rules.
    """
    if wants_reference() or torch.jit.is_tracing():
        return True
    if is_compiling():
        # An export to ONNX traces or compiles.
        return torch.onnx.is_in_onnx_export()
    return (
        torch.autograd.forward_ad._current_level >= 0
        or torch._C._functorch.peek_interpreter_stack() is not None
    )
