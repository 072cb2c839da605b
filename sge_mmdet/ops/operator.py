"""SGE, alone or as the end of a residual block, as an operator with gradient.

It saves its input and a few numbers a group. With an identity it is
``relu(SGE(scale * x + shift) + identity)``, where scale and shift stand for a
norm in evaluation mode; then it also saves its output, which the next layer
keeps anyway. Both passes are registered in PyTorch as ``sge_mmdet::enhance``
and ``sge_mmdet::enhance_backward``, so that ``torch.compile`` and
``torch.export`` take them as they are.
"""
from typing import Any, List, Optional, Tuple

import torch
from torch import Tensor

from . import blocks, native
from .backends import backend_for
from .checks import check_forward, check_map, check_statistics
from .reference import spatial_group_enhance_reference


def enhance(x: Tensor, weight: Tensor, bias: Tensor, scale: Optional[Tensor],
            shift: Optional[Tensor], identity: Optional[Tensor], groups: int,
            eps: float, normalize: bool) -> Tuple[Tensor, Tensor, Tensor]:
    """Run the forward pass.

    Args:
        x (Tensor): Feature map of shape (N, C, H, W).
        weight (Tensor): w; shape (1, G, 1, 1).
        bias (Tensor): b; shape (1, G, 1, 1).
        scale (Tensor, optional): Of each channel; shape (C,).
        shift (Tensor, optional): Of each channel; shape (C,).
        identity (Tensor, optional): What is added before ReLU; shape and type
            of x.
        groups (int): G.
        eps (float): Added to the standard deviation.
        normalize (bool): Whether to normalise the similarity.

    Returns:
        tuple[Tensor, Tensor, Tensor]: The result; the mean of each channel,
        shape (N, C); mean and deviation of the similarity of each group,
        shape (N, G, 2).

    Raises:
        TypeError: If a tensor is of a wrong type.
        ValueError: If a shape or a device is wrong, or ``groups`` does not
            divide C.
    """
    y, mean, spread = _enhance_outputs(x, weight, bias, scale, shift,
                                       identity, groups, eps, normalize)
    x, identity = _dense(x), _dense(identity, y)
    weight, bias, scale, shift = _in_type(mean, weight, bias, scale, shift)
    backend = backend_for(x)
    if not x.numel():
        mean.zero_()
        spread.zero_()
    elif backend == 'native':
        native.call('sge_forward', x, groups, eps, normalize,
                    identity is not None, weight=weight, bias=bias,
                    scale=scale, shift=shift, identity=identity, y=y,
                    mean=mean, spread=spread)
    else:
        _kernels(backend).forward(x, weight, bias, scale, shift, identity,
                                  groups, eps, normalize, y, mean, spread)
    return y, mean, spread


def enhance_backward(
    grad_y: Tensor, x: Tensor, y: Optional[Tensor], mean: Tensor,
    spread: Tensor, weight: Tensor, bias: Tensor, scale: Optional[Tensor],
    shift: Optional[Tensor], groups: int, eps: float, normalize: bool
) -> Tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Run the backward pass.

    Args:
        grad_y (Tensor): Gradient of the result.
        x (Tensor): As in :func:`enhance`.
        y (Tensor, optional): The result, if it went through ReLU.
        mean (Tensor): Result of :func:`enhance`.
        spread (Tensor): Result of :func:`enhance`.
        weight (Tensor): As in :func:`enhance`, as what follows.
        bias (Tensor): b.
        scale (Tensor, optional): Of each channel.
        shift (Tensor, optional): Of each channel.
        groups (int): G.
        eps (float): Added to the standard deviation.
        normalize (bool): Whether to normalise the similarity.

    Returns:
        tuple[Tensor, ...]: Gradients of x, weight, bias, scale, shift and
        identity; without elements where there is no such tensor.

    Raises:
        TypeError: As :func:`enhance`.
        ValueError: As :func:`enhance`.
    """
    results = _backward_outputs(grad_y, x, y, mean, spread, weight, bias,
                                scale, shift, groups, eps, normalize)
    grad_x, grad_weight, grad_bias, grad_scale, grad_shift, grad_identity = (
        results)
    if not x.numel():
        for gradient in results:
            gradient.zero_()
        return results
    x, y, grad_y = _dense(x), _dense(y, grad_x), _dense(grad_y, grad_x)
    weight, bias, scale, shift = _in_type(mean, weight, bias, scale, shift)
    # Of each image; summed below.
    weights, biases = mean.new_empty((2, len(x), groups)).unbind()
    scales = shifts = None
    if scale is not None:
        scales, shifts = torch.empty_like(mean), torch.empty_like(mean)
    identities = None if y is None else grad_identity
    backend = backend_for(x)
    if backend == 'native':
        native.call('sge_backward', x, groups, eps, normalize, y is not None,
                    weight=weight, bias=bias, scale=scale, shift=shift, y=y,
                    mean=mean, spread=spread, grad_y=grad_y, grad_x=grad_x,
                    grad_identity=identities, grad_weight=weights,
                    grad_bias=biases, grad_scale=scales, grad_shift=shifts)
    else:
        _kernels(backend).backward(
            grad_y, x, y, mean, spread, weight, bias, scale, shift, groups,
            eps, normalize, grad_x, identities, weights, biases, scales,
            shifts)
    for total, parts in ((grad_weight, weights), (grad_bias, biases),
                         (grad_scale, scales), (grad_shift, shifts)):
        if parts is not None:
            total.copy_(parts.sum(0).view_as(total))
    return results


def _enhance_outputs(
        x: Tensor, weight: Tensor, bias: Tensor, scale: Optional[Tensor],
        shift: Optional[Tensor], identity: Optional[Tensor], groups: int,
        eps: float, normalize: bool) -> Tuple[Tensor, Tensor, Tensor]:
    """Check the arguments; return unfilled results, all that tracing needs."""
    check_forward(x, weight, bias, scale, shift, identity, groups)
    kind = torch.promote_types(x.dtype, torch.float32)
    return (torch.empty_like(x, memory_format=_layout(x)),
            x.new_empty(x.shape[:2], dtype=kind),
            x.new_empty((x.shape[0], groups, 2), dtype=kind))


def _backward_outputs(
    grad_y: Tensor, x: Tensor, y: Optional[Tensor], mean: Tensor,
    spread: Tensor, weight: Tensor, bias: Tensor, scale: Optional[Tensor],
    shift: Optional[Tensor], groups: int, eps: float, normalize: bool
) -> Tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Check the arguments; return unfilled gradients, as above."""
    check_forward(x, weight, bias, scale, shift, None, groups)
    check_statistics(mean, spread, x, groups)
    check_map('grad_y', grad_y, x)
    if y is not None:
        check_map('y', y, x)
    grad_x = torch.empty_like(x, memory_format=_layout(x))
    none = x.new_empty(0)
    return (grad_x, *(torch.empty_like(
        parameter, memory_format=torch.contiguous_format)
        if parameter is not None else x.new_empty(0)
        for parameter in (weight, bias, scale, shift)),
            none if y is None else torch.empty_like(grad_x))


class _Enhance(torch.autograd.Function):
    """The rule of :func:`enhance`'s gradient."""

    forward = staticmethod(enhance)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        """Keep what the backward pass needs."""
        x, weight, bias, scale, shift, identity, *ctx.options = inputs
        y, mean, spread = output
        ctx.save_for_backward(x, None if identity is None else y, mean,
                              spread, weight, bias, scale, shift)

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor, *_: Any) -> tuple:
        """Return the gradients of the inputs."""
        *gradients, identity = _run_backward(grad_y, *ctx.saved_tensors,
                                             *ctx.options)
        scale = ctx.saved_tensors[-2]
        if scale is None:
            gradients[3:] = None, None
        if ctx.saved_tensors[1] is None:
            identity = None
        return (*gradients, identity, None, None, None)


class _EnhanceBackward(torch.autograd.Function):
    """The rule of :func:`enhance_backward`'s gradient, by the reference.

    For those who penalise gradients; it takes the reference's time and
    memory.
    """

    forward = staticmethod(enhance_backward)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        """Keep the inputs."""
        tensors, ctx.options = inputs[:9], inputs[9:]
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple:
        """Return the gradients of the inputs."""
        grad_y, x, y, _, _, *parameters = ctx.saved_tensors
        # Whether somebody will differentiate once more.
        again = torch.is_grad_enabled()

        def leaf(tensor: Tensor) -> Tensor:
            if again and tensor.requires_grad:
                return tensor.view_as(tensor)
            return tensor.detach().requires_grad_()

        with torch.enable_grad():
            leaves = [tensor if tensor is None else leaf(tensor)
                      for tensor in (x, *parameters)]
            given = [tensor for tensor in leaves if tensor is not None]
            grad_y = leaf(grad_y)
            x, weight, bias, scale, shift = leaves
            z = x if scale is None else (
                x * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1))
            out = spatial_group_enhance_reference(z, weight, bias,
                                                  *ctx.options)
            passed = grad_y if y is None else grad_y.masked_fill(y <= 0, 0)
            first = torch.autograd.grad(out, given, passed, create_graph=True)
            wanted = [grad for grad, one in zip(grads, leaves)
                      if one is not None]
            if y is not None:
                first, wanted = (*first, passed), (*wanted, grads[5])
            second = iter(torch.autograd.grad(
                first, [grad_y, *given], wanted, allow_unused=True,
                create_graph=again))
        grad_grad_y = next(second)
        rest = [None if one is None else next(second) for one in leaves]
        return (grad_grad_y, rest[0], None, None, None, *rest[1:], None, None,
                None)


if hasattr(torch.library, 'custom_op'):
    _run = torch.library.custom_op(
        'sge_mmdet::enhance', enhance, mutates_args=())
    _run.register_fake(_enhance_outputs)
    _run.register_autograd(_Enhance.backward,
                           setup_context=_Enhance.setup_context)
    _run_backward = torch.library.custom_op(
        'sge_mmdet::enhance_backward', enhance_backward, mutates_args=())
    _run_backward.register_fake(_backward_outputs)
    _run_backward.register_autograd(
        _EnhanceBackward.backward,
        setup_context=_EnhanceBackward.setup_context)
else:
    _run, _run_backward = _Enhance.apply, _EnhanceBackward.apply


def run(*args: Any) -> Tensor:
    """Return the result of :func:`enhance`, with its gradient."""
    return _run(*args)[0]


def _kernels(backend: str) -> Any:
    if backend == 'triton':
        from . import triton_kernels
        return triton_kernels
    return blocks


def _layout(x: Tensor) -> torch.memory_format:
    """Return the layout of results: channels-last where x comes in it."""
    is_last = (x.stride(1) == 1 and x.shape[1] > 1 and not x.is_contiguous())
    return torch.channels_last if is_last else torch.contiguous_format


def _dense(tensor: Optional[Tensor],
           like: Optional[Tensor] = None) -> Optional[Tensor]:
    """Return a tensor without gaps, in its layout or in another's."""
    if tensor is None:
        return None
    return tensor.contiguous(
        memory_format=_layout(tensor if like is None else like))


def _in_type(like: Tensor,
             *parameters: Optional[Tensor]) -> List[Optional[Tensor]]:
    return [parameter if parameter is None else
            parameter.to(like.dtype).contiguous() for parameter in parameters]
