"""SGE, alone or as the end of a residual block, as an operator with gradient.

It saves its input and a few numbers a group. With an identity it is
``relu(SGE(norm(x)) + identity)``, where the norm's statistics are fixed; then
it also saves its output, which the next layer keeps anyway. Both passes are
registered in PyTorch as ``sge_mmdet::enhance`` and
``sge_mmdet::enhance_backward``, so that ``torch.compile`` and ``torch.export``
take them as they are. Their arguments are the members of
:class:`sge_mmdet.ops.passes.Inputs` in a flat order, and their results those
of ``Outputs`` and ``Gradients``; a gradient that does not exist has no
elements.
"""

from typing import Any, Callable, List, Optional, Sequence, Tuple, Type, cast

import torch
from torch import Tensor
from torch.nn import Parameter

from .checks import check_backward, check_forward
from .dispatch import take_shortcut
from .execution import (
    MaybeTensor,
    new_gradients,
    new_outputs,
    run_backward,
    run_forward,
)
from .passes import FlatTensors, Gradients, Inputs, Outputs
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
_OPTION_COUNT = 4
_Tensors = Tuple[Tensor, ...]
# Function that says whether ``torch.compile`` or ``torch.export`` traces.
is_compiling = getattr(
    getattr(torch, 'compiler', None), 'is_compiling', lambda: False
)


def run_operator(inputs: Inputs, may_overwrite: bool = False) -> Tensor:
    """Return y of the forward pass, with its gradient.

    Args:
        inputs (Inputs): Tensors and options of the operator.
        may_overwrite (bool): Whether y may be written over x if no
            gradient is needed. Default: False.

    Raises:
        TypeError: If a tensor is of a wrong type.
        ValueError: If a shape or a device is wrong, or ``groups`` does not
            divide C.
    """
    if is_compiling():
        tensors, options = inputs.flatten()
        return _call_forward(*tensors, *options)[0]
    y = take_shortcut(inputs)
    if y is not None:
        return y
    tensors, options = inputs.flatten()
    if not _are_plain(tensors):
        # PyTorch's own messages do not say how to correct the value.
        check_forward(inputs)
        return _call_forward(*tensors, *options)[0]
    if _want_gradients(tensors):
        return _Enhance.apply(*tensors, options, inputs)[0]
    check_forward(inputs)
    # A mode may have kept x.
    may_overwrite &= torch._C._len_torch_function_stack() == 0
    return cast(Tensor, run_forward(inputs, may_overwrite).y)


def _enhance(*arguments: Any) -> _Tensors:
    """Run ``sge_mmdet::enhance``."""
    inputs = _forward_arguments(arguments)
    check_forward(inputs)
    return cast(_Tensors, tuple(run_forward(inputs)))


def _fake_enhance(*arguments: Any) -> _Tensors:
    """Return unfilled results, which is all that tracing needs."""
    inputs = _forward_arguments(arguments)
    check_forward(inputs)
    return cast(_Tensors, tuple(new_outputs(inputs)))


def _enhance_backward(*arguments: Any) -> _Tensors:
    """Run ``sge_mmdet::enhance_backward``."""
    inputs, outputs, grad_y = _backward_arguments(arguments)
    check_backward(inputs, outputs, grad_y)
    return _without_none(run_backward(inputs, outputs, grad_y))


def _fake_backward(*arguments: Any) -> _Tensors:
    """Return unfilled gradients."""
    inputs, outputs, grad_y = _backward_arguments(arguments)
    check_backward(inputs, outputs, grad_y)
    return _without_none(new_gradients(inputs, outputs))


def _forward_arguments(arguments: Tuple) -> Inputs:
    """Return what the arguments of ``sge_mmdet::enhance`` are."""
    return Inputs.unflatten(
        arguments[:-_OPTION_COUNT], arguments[-_OPTION_COUNT:]
    )


def _backward_arguments(arguments: Tuple) -> Tuple[Inputs, Outputs, Tensor]:
    """Return what those of ``sge_mmdet::enhance_backward`` are."""
    grad_y, x, y, mean, spread, *parameters = arguments[:-_OPTION_COUNT]
    inputs = Inputs.unflatten(
        (x, *parameters, None), arguments[-_OPTION_COUNT:]
    )
    return inputs, Outputs(y, mean, spread), grad_y


def _without_none(gradients: Gradients) -> _Tensors:
    return tuple(
        gradients.x.new_empty(0) if gradient is None else gradient
        for gradient in gradients
    )


class _Enhance(torch.autograd.Function):
    """The gradient of the forward pass."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> _Tensors:
        """Run the operator and keep what the backward pass needs.

        The last two arguments are the options, as one tuple, since PyTorch
        looks at each argument; and the same arguments as ``Inputs`` if the
        call may go past the dispatcher, or None.
        """
        *tensors, options, inputs = arguments
        if inputs is None:
            with torch._C._AutoDispatchBelowAutograd():
                results = _raw_forward(*tensors, *options)
        else:
            check_forward(inputs)
            results = cast(_Tensors, run_forward(inputs))
        y, mean, spread = results
        x, *parameters, identity = tensors
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
            return (None,) * 10
        tensors = grad_y, *ctx.saved_tensors
        arguments = *tensors, *ctx.options
        inputs, outputs = _backward_arguments(arguments)[:2]
        gradients: Sequence[Optional[Tensor]]
        # With gradients enabled, a second derivative is needed.
        if torch.is_grad_enabled() or not _are_plain(tensors):
            gradients = _call_backward(*arguments)
        else:
            gradients = run_backward(inputs, outputs, grad_y)
        *of_inputs, of_scale, of_shift, of_identity = gradients
        return (
            *of_inputs,
            None if inputs.norm is None else of_scale,
            None
            if inputs.norm is None or inputs.norm.shift is None
            else of_shift,
            *(None, None),
            None if outputs.y is None else of_identity,
            *(None, None),
        )


class _EnhanceBackward(torch.autograd.Function):
    """The gradient of the backward pass, by the reference.

    For those who penalise gradients; it takes the reference's time and
    memory.
    """

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> _Tensors:
        """Run the operator and keep its inputs; options come as above."""
        *tensors, ctx.options, _ = arguments
        ctx.save_for_backward(*tensors)
        with torch._C._AutoDispatchBelowAutograd():
            return _raw_backward(*tensors, *ctx.options)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple:
        """Return the gradients of the inputs."""
        grad_y, x, y, _, _, weight, bias, scale, shift, mean, variance = (
            ctx.saved_tensors
        )
        # Whether a third derivative is needed.
        again = torch.is_grad_enabled()
        with torch.enable_grad():
            leaves = [
                _leaf(tensor, again)
                for tensor in (x, weight, bias, scale, shift)
            ]
            given = [tensor for tensor in leaves if tensor is not None]
            grad_y = _leaf(grad_y, again)
            x, weight, bias, norm, _, groups, eps, normalize = (
                Inputs.unflatten((*leaves, mean, variance, None), ctx.options)
            )
            out = spatial_group_enhance_reference(
                norm_reference(x, norm), weight, bias, groups, eps, normalize
            )
            passed = grad_y if y is None else grad_y.masked_fill(y <= 0, 0)
            first: List[Tensor] = list(
                torch.autograd.grad(out, given, passed, create_graph=True)
            )
            wanted = [
                grad for grad, one in zip(grads, leaves) if one is not None
            ]
            if y is not None:
                first.append(passed)
                wanted.append(grads[5])
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
        return (grad_grad_y, of_x, None, None, None, *rest, *[None] * 4)


def _leaf(tensor: MaybeTensor, again: bool) -> MaybeTensor:
    """Return a tensor to differentiate by.

    Args:
        tensor (Tensor, optional): The saved tensor.
        again (bool): Whether what comes of it is differentiated once more, so
            that it has to stay in the graph.
    """
    if tensor is None:
        return tensor
    if again and tensor.requires_grad:
        return tensor.view_as(tensor)
    return tensor.detach().requires_grad_()


def _differentiable(
    rule: Type[torch.autograd.Function], operator: Any
) -> Callable[..., Any]:
    """Return what runs an operator within its rule of differentiation.

    Args:
        rule (type): Its ``autograd.Function``.
        operator (callable): What runs it below autograd.
    """

    def call(*arguments: Any) -> Any:
        tensors = arguments[:-_OPTION_COUNT]
        if _want_gradients(tensors):
            return rule.apply(*tensors, arguments[-_OPTION_COUNT:], None)
        with torch._C._AutoDispatchBelowAutograd():
            return operator(*arguments)

    return call


_raw_forward: Callable[..., _Tensors]
_raw_backward: Callable[..., _Tensors]
_call_forward: Callable[..., _Tensors]
_call_backward: Callable[..., _Tensors]
if hasattr(torch.library, 'register_fake'):
    # Not torch.library.custom_op, whose wrappers take longer than the kernels
    # of a small map.
    _library = torch.library.Library('sge_mmdet', 'FRAGMENT')
    _library.define(_FORWARD_SCHEMA)
    _library.define(_BACKWARD_SCHEMA)
    _raw_forward = torch.ops.sge_mmdet.enhance.default
    _raw_backward = torch.ops.sge_mmdet.enhance_backward.default
    for _name, _raw, _pass, _fake, _rule in (
        ('enhance', _raw_forward, _enhance, _fake_enhance, _Enhance),
        (
            'enhance_backward',
            _raw_backward,
            _enhance_backward,
            _fake_backward,
            _EnhanceBackward,
        ),
    ):
        _library.impl(_name, _pass, 'CompositeExplicitAutograd')
        _library.impl(_name, _differentiable(_rule, _raw), 'Autograd')
        torch.library.register_fake(f'sge_mmdet::{_name}', _fake, lib=_library)
    _call_forward, _call_backward = _raw_forward, _raw_backward
else:
    _raw_forward, _raw_backward = _enhance, _enhance_backward
    _call_forward = _differentiable(_Enhance, _enhance)
    _call_backward = _differentiable(_EnhanceBackward, _enhance_backward)


def _are_plain(tensors: FlatTensors) -> bool:
    """Return whether a call may go past PyTorch's dispatcher.

    It may where nothing looks on and tensors are no more than their memory:
    no mode, no subclass, no batch of ``vmap``, no negative view, no tensor of
    zeros without memory. A call through the dispatcher to Python takes as long
    as a kernel of a small map.
    """
    for tensor in tensors:
        if tensor is None:
            continue
        kind = type(tensor)
        if (kind is not Tensor and kind is not Parameter) or tensor.is_neg():
            return False
        try:
            if not tensor.data_ptr() and tensor.numel():
                return False
        except RuntimeError:  # It has no storage.
            return False
    return torch._C._len_torch_dispatch_stack() == 0


def _want_gradients(tensors: FlatTensors) -> bool:
    if torch.is_grad_enabled():
        for tensor in tensors:
            if tensor is not None and tensor.requires_grad:
                return True
    return False
