"""SGE, alone or as the end of a residual block, as an operator with gradient.

It saves its input and a few numbers a group. With an identity it is
``relu(SGE(norm(x)) + identity)``, where the norm's statistics are fixed; then
it also saves its output, which the next layer keeps anyway. Both passes are
registered in PyTorch as ``sge_mmdet::enhance`` and
``sge_mmdet::enhance_backward``, so that ``torch.compile`` and ``torch.export``
take them as they are.
"""

from typing import Any, Optional, Tuple

import torch
from torch import Tensor
from torch.nn import Parameter

from .checks import check_backward, check_forward
from .dispatch import backend_for, load_backend
from .passes import FixedNorm, Gradients, Inputs, Outputs, sum_dtype
from .reference import norm_reference, spatial_group_enhance_reference

_PARAMETERS = (
    'Tensor weight, Tensor bias, Tensor? scale, Tensor? shift, '
    'Tensor? running_mean, Tensor? running_var'
)
_OPTIONS = 'int groups, float eps, float norm_eps, bool normalize'
_FORWARD_SCHEMA = (
    f'enhance(Tensor x, {_PARAMETERS}, Tensor? identity, '
    f'{_OPTIONS}) -> (Tensor, Tensor, Tensor)'
)
_BACKWARD_SCHEMA = (
    f'enhance_backward(Tensor grad_y, Tensor x, Tensor? y, Tensor mean, '
    f'Tensor spread, {_PARAMETERS}, {_OPTIONS}) -> '
    '(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)'
)
# Whether ``torch.compile`` or ``torch.export`` is looking on.
is_compiling = getattr(
    getattr(torch, 'compiler', None), 'is_compiling', lambda: False
)
_GradientTensors = Tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def enhance(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: Optional[Tensor],
    shift: Optional[Tensor],
    running_mean: Optional[Tensor],
    running_var: Optional[Tensor],
    identity: Optional[Tensor],
    groups: int,
    eps: float,
    norm_eps: float,
    normalize: bool,
) -> Tuple[Tensor, Tensor, Tensor]:
    """Run the forward pass.

    Args:
        x (Tensor): Feature map of shape (N, C, H, W).
        weight (Tensor): w; shape (1, G, 1, 1).
        bias (Tensor): b; shape (1, G, 1, 1).
        scale (Tensor, optional): Scale of the norm before SGE; shape (C,).
        shift (Tensor, optional): Shift of the norm; shape (C,).
        running_mean (Tensor, optional): Mean of the norm; shape (C,).
        running_var (Tensor, optional): Variance of the norm; shape (C,).
        identity (Tensor, optional): What is added before ReLU; shape and type
            of x.
        groups (int): G.
        eps (float): Added to the standard deviation.
        norm_eps (float): Added to the variance of the norm.
        normalize (bool): Whether to normalise the similarity.

    Returns:
        tuple[Tensor, Tensor, Tensor]: Those of
        :class:`sge_mmdet.ops.passes.Outputs`.

    Raises:
        TypeError: If a tensor is of a wrong type.
        ValueError: If a shape or a device is wrong, or ``groups`` does not
            divide C.
    """
    y, mean, spread = _new_outputs(
        x,
        weight,
        bias,
        scale,
        shift,
        running_mean,
        running_var,
        identity,
        groups,
        eps,
        norm_eps,
        normalize,
    )
    if not x.numel():
        return y, mean.zero_(), spread.zero_()
    norm = _norm(scale, shift, running_mean, running_var, norm_eps)
    layout = _layout(y)
    x = _dense(x, layout)
    load_backend(backend_for(x, groups)).forward(
        Inputs(
            x,
            weight,
            bias,
            norm,
            _dense(identity, layout),
            groups,
            eps,
            normalize,
        ),
        Outputs(y, mean, spread),
    )
    return y, mean, spread


def enhance_backward(
    grad_y: Tensor,
    x: Tensor,
    y: Optional[Tensor],
    mean: Tensor,
    spread: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: Optional[Tensor],
    shift: Optional[Tensor],
    running_mean: Optional[Tensor],
    running_var: Optional[Tensor],
    groups: int,
    eps: float,
    norm_eps: float,
    normalize: bool,
) -> _GradientTensors:
    """Run the backward pass.

    Args:
        grad_y (Tensor): Gradient of the result.
        x (Tensor): As in :func:`enhance`, as all that is not named here.
        y (Tensor, optional): The result, if it went through ReLU.
        mean (Tensor): Result of :func:`enhance`.
        spread (Tensor): Result of :func:`enhance`.
        weight (Tensor): w.
        bias (Tensor): b.
        scale (Tensor, optional): Scale of the norm.
        shift (Tensor, optional): Shift of the norm.
        running_mean (Tensor, optional): Mean of the norm.
        running_var (Tensor, optional): Variance of the norm.
        groups (int): G.
        eps (float): Added to the standard deviation.
        norm_eps (float): Added to the variance of the norm.
        normalize (bool): Whether to normalise the similarity.

    Returns:
        tuple[Tensor, ...]: Gradients of x, weight, bias, scale, shift and
        identity; without elements where there is no such tensor.

    Raises:
        TypeError: As :func:`enhance`.
        ValueError: As :func:`enhance`.
    """
    check_backward(
        grad_y,
        x,
        y,
        mean,
        spread,
        weight,
        bias,
        scale,
        shift,
        running_mean,
        running_var,
        groups,
    )
    # Kernels take statistics without gaps, as a forward pass returns them.
    return _backward(
        grad_y,
        x,
        y,
        mean.contiguous(),
        spread.contiguous(),
        weight,
        bias,
        scale,
        shift,
        running_mean,
        running_var,
        groups,
        eps,
        norm_eps,
        normalize,
    )


def _backward(
    grad_y: Tensor,
    x: Tensor,
    y: Optional[Tensor],
    mean: Tensor,
    spread: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: Optional[Tensor],
    shift: Optional[Tensor],
    running_mean: Optional[Tensor],
    running_var: Optional[Tensor],
    groups: int,
    eps: float,
    norm_eps: float,
    normalize: bool,
) -> _GradientTensors:
    """Run the backward pass on what a forward pass has checked."""
    # Sums are made in their own type and rounded once.
    kind = sum_dtype(x.dtype)
    parameters = weight, bias, scale, shift
    results = _new_gradients(x, y, parameters, kind)
    grad_x, grad_weight, grad_bias, grad_scale, grad_shift, identity = results
    if x.numel():
        norm = _norm(scale, shift, running_mean, running_var, norm_eps)
        layout = _layout(grad_x)
        x = _dense(x, layout)
        load_backend(backend_for(x, groups)).backward(
            Inputs(x, weight, bias, norm, None, groups, eps, normalize),
            Outputs(_dense(y, layout), mean, spread),
            _dense(grad_y, layout),
            Gradients(
                grad_x,
                grad_weight,
                grad_bias,
                None if norm is None else grad_scale,
                None if norm is None else grad_shift,
                None if y is None else identity,
            ),
        )
    else:
        for gradient in results:
            gradient.zero_()
    return (
        grad_x,
        *(
            gradient
            if like is None or like.dtype == kind
            else gradient.to(like.dtype)
            for like, gradient in zip(parameters, results[1:5])
        ),
        identity,
    )


def _new_outputs(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: Optional[Tensor],
    shift: Optional[Tensor],
    running_mean: Optional[Tensor],
    running_var: Optional[Tensor],
    identity: Optional[Tensor],
    groups: int,
    eps: float,
    norm_eps: float,
    normalize: bool,
) -> Tuple[Tensor, Tensor, Tensor]:
    """Check the arguments; return unfilled results, all that tracing needs."""
    check_forward(
        x,
        weight,
        bias,
        scale,
        shift,
        running_mean,
        running_var,
        identity,
        groups,
    )
    images, channels, _, _ = x.shape
    mean = x.new_empty((images, channels), dtype=sum_dtype(x.dtype))
    return (
        torch.empty_like(x, memory_format=_layout(x)),
        mean,
        mean.new_empty((images, groups, 2)),
    )


def _fake_backward(
    grad_y: Tensor,
    x: Tensor,
    y: Optional[Tensor],
    mean: Tensor,
    spread: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: Optional[Tensor],
    shift: Optional[Tensor],
    running_mean: Optional[Tensor],
    running_var: Optional[Tensor],
    groups: int,
    eps: float,
    norm_eps: float,
    normalize: bool,
) -> _GradientTensors:
    """Check the arguments; return unfilled gradients, as above."""
    check_backward(
        grad_y,
        x,
        y,
        mean,
        spread,
        weight,
        bias,
        scale,
        shift,
        running_mean,
        running_var,
        groups,
    )
    return _new_gradients(x, y, (weight, bias, scale, shift), None)


def _new_gradients(
    x: Tensor,
    y: Optional[Tensor],
    parameters: Tuple[Optional[Tensor], ...],
    kind: Optional[torch.dtype],
) -> _GradientTensors:
    """Return unfilled gradients, of parameters in a type or in their own."""
    grad_x = torch.empty_like(x, memory_format=_layout(x))
    of_parameters = [
        x.new_empty(0)
        if parameter is None
        else torch.empty_like(
            parameter, dtype=kind, memory_format=torch.contiguous_format
        )
        for parameter in parameters
    ]
    return (
        grad_x,
        *of_parameters,
        x.new_empty(0) if y is None else torch.empty_like(grad_x),
    )


class _Enhance(torch.autograd.Function):
    """The gradient of :func:`enhance`."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tuple[Tensor, Tensor, Tensor]:
        """Run the operator and keep what the backward pass needs.

        The last argument is a tuple of the options.
        """
        x, *parameters, identity, options = arguments
        if _is_plain(x, parameters[0]):
            y, mean, spread = enhance(*arguments[:-1], *options)
        else:
            with torch._C._AutoDispatchBelowAutograd():
                y, mean, spread = _raw_forward(*arguments[:-1], *options)
        # Without this PyTorch would fill gradients of theirs with zeros.
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(mean, spread)
        ctx.save_for_backward(
            x, None if identity is None else y, mean, spread, *parameters
        )
        ctx.options = options
        return y, mean, spread

    @staticmethod
    def backward(ctx: Any, grad_y: Optional[Tensor], *_: Any) -> tuple:
        """Return the gradients of the inputs."""
        if grad_y is None:
            return (None,) * 9
        tensors = ctx.saved_tensors
        # With gradients enabled, somebody will differentiate once more.
        run = (
            _backward
            if _is_plain(grad_y) and not torch.is_grad_enabled()
            else _run_backward
        )
        of_x, of_weight, of_bias, of_scale, of_shift, of_identity = run(
            grad_y, *tensors, *ctx.options
        )
        if tensors[6] is None:
            of_scale = of_shift = None
        if tensors[1] is None:
            of_identity = None
        return (
            of_x,
            of_weight,
            of_bias,
            of_scale,
            of_shift,
            None,
            None,
            of_identity,
            None,
        )


class _EnhanceBackward(torch.autograd.Function):
    """The gradient of :func:`enhance_backward`, by the reference.

    For those who penalise gradients; it takes the reference's time and
    memory.
    """

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> _GradientTensors:
        """Run the operator and keep its inputs; options come last."""
        *tensors, ctx.options = arguments
        ctx.save_for_backward(*tensors)
        with torch._C._AutoDispatchBelowAutograd():
            return _raw_backward(*tensors, *ctx.options)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple:
        """Return the gradients of the inputs."""
        grad_y, x, y, _, _, weight, bias, scale, shift, mean, variance = (
            ctx.saved_tensors
        )
        groups, eps, norm_eps, normalize = ctx.options
        # Whether somebody will differentiate once more.
        again = torch.is_grad_enabled()

        def leaf(tensor: Optional[Tensor]) -> Optional[Tensor]:
            if tensor is None:
                return None
            if again and tensor.requires_grad:
                return tensor.view_as(tensor)
            return tensor.detach().requires_grad_()

        with torch.enable_grad():
            leaves = x, weight, bias, scale, shift = [
                leaf(tensor) for tensor in (x, weight, bias, scale, shift)
            ]
            given = [tensor for tensor in leaves if tensor is not None]
            grad_y = leaf(grad_y)
            norm = _norm(scale, shift, mean, variance, norm_eps)
            out = spatial_group_enhance_reference(
                norm_reference(x, norm), weight, bias, groups, eps, normalize
            )
            passed = grad_y if y is None else grad_y.masked_fill(y <= 0, 0)
            first = torch.autograd.grad(out, given, passed, create_graph=True)
            wanted = [
                grad for grad, one in zip(grads, leaves) if one is not None
            ]
            if y is not None:
                first, wanted = (*first, passed), (*wanted, grads[5])
            second = iter(
                torch.autograd.grad(
                    first,
                    [grad_y, *given],
                    wanted,
                    allow_unused=True,
                    create_graph=again,
                )
            )
        grad_grad_y = next(second)
        of_x, *rest = [None if one is None else next(second) for one in leaves]
        return (grad_grad_y, of_x, None, None, None, *rest, *[None] * 3)


def _is_plain(*tensors: Tensor) -> bool:
    """Return whether a call may go past PyTorch's dispatcher.

    It may where nothing looks on: no mode, no subclass of tensors. A call
    through the dispatcher to Python takes as long as a kernel of a small map.
    """
    for tensor in tensors:
        if type(tensor) is not Tensor and type(tensor) is not Parameter:
            return False
    return torch._C._len_torch_dispatch_stack() == 0


def _wants_gradient(arguments: tuple) -> bool:
    if torch.is_grad_enabled():
        for argument in arguments:
            if isinstance(argument, Tensor) and argument.requires_grad:
                return True
    return False


def _differentiable(function: type, run: Any) -> Any:
    """Return what runs an operator within its rule of differentiation.

    The rule takes the four options as one argument: PyTorch looks at each.
    """

    def call(*arguments: Any) -> Any:
        if _wants_gradient(arguments):
            return function.apply(*arguments[:-4], arguments[-4:])
        with torch._C._AutoDispatchBelowAutograd():
            return run(*arguments)

    return call


if hasattr(torch.library, 'register_fake'):
    # Not torch.library.custom_op, whose wrappers take longer than the kernels
    # of a small map.
    _library = torch.library.Library('sge_mmdet', 'FRAGMENT')
    _library.define(_FORWARD_SCHEMA)
    _library.define(_BACKWARD_SCHEMA)
    _raw_forward = torch.ops.sge_mmdet.enhance.default
    _raw_backward = torch.ops.sge_mmdet.enhance_backward.default
    for _name, _run, _pass, _fake, _rule in (
        ('enhance', _raw_forward, enhance, _new_outputs, _Enhance),
        (
            'enhance_backward',
            _raw_backward,
            enhance_backward,
            _fake_backward,
            _EnhanceBackward,
        ),
    ):
        _library.impl(_name, _pass, 'CompositeExplicitAutograd')
        _library.impl(_name, _differentiable(_rule, _run), 'Autograd')
        torch.library.register_fake(f'sge_mmdet::{_name}', _fake, lib=_library)
    _run_forward, _run_backward = _raw_forward, _raw_backward
else:
    _raw_forward, _raw_backward = enhance, enhance_backward
    _run_forward = _differentiable(_Enhance, enhance)
    _run_backward = _differentiable(_EnhanceBackward, enhance_backward)


def run_operator(inputs: Inputs) -> Tensor:
    """Return y of the forward pass, with its gradient.

    Args:
        inputs (Inputs): What it is computed from.

    Raises:
        TypeError: As :func:`enhance`.
        ValueError: As :func:`enhance`.
    """
    x, weight, bias, norm, identity, groups, eps, normalize = inputs
    scale, shift, mean, variance, norm_eps = norm or _NO_NORM
    tensors = x, weight, bias, scale, shift, mean, variance, identity
    options = groups, eps, norm_eps, normalize
    if is_compiling() or not _is_plain(x, weight):
        return _run_forward(*tensors, *options)[0]
    if _wants_gradient(tensors):
        return _Enhance.apply(*tensors, options)[0]
    return enhance(*tensors, *options)[0]


_NO_NORM = (None, None, None, None, 0.0)


def _norm(
    scale: Optional[Tensor],
    shift: Optional[Tensor],
    mean: Optional[Tensor],
    variance: Optional[Tensor],
    eps: float,
) -> Optional[FixedNorm]:
    return (
        None if scale is None else FixedNorm(scale, shift, mean, variance, eps)
    )


def _layout(x: Tensor) -> torch.memory_format:
    """Return the layout of results: channels-last where x comes in it."""
    if x.is_contiguous() or x.stride(1) != 1 or x.shape[1] == 1:
        return torch.contiguous_format
    return torch.channels_last


def _dense(
    tensor: Optional[Tensor], layout: torch.memory_format
) -> Optional[Tensor]:
    """Return a tensor without gaps, in a layout."""
    return None if tensor is None else tensor.contiguous(memory_format=layout)
