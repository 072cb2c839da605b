"""Run a pass of SGE: allocate what it fills, and call a backend.

Backends take maps without gaps, all in one layout: NCHW, or channels-last
where x comes in it. See :mod:`sge_mmdet.ops.passes` for what they take.
"""

from typing import Optional, TypeVar

import torch
from torch import Tensor

from .dispatch import backend_for, load_backend
from .passes import Gradients, Inputs, Outputs, sum_dtype

MaybeTensor = TypeVar('MaybeTensor', Tensor, Optional[Tensor])


def run_forward(inputs: Inputs, may_overwrite: bool = False) -> Outputs:
    """Run the forward pass.

    Args:
        inputs (Inputs): Checked arguments.
        may_overwrite (bool): Whether a backend that can may write the result
            over x. Default: False.
    """
    x = inputs.x
    if not x.numel():
        y, mean, spread = new_outputs(inputs)
        return Outputs(y, mean.zero_(), spread.zero_())
    layout = _layout(x)
    name = backend_for(x, inputs.groups)
    backend = load_backend(name)
    is_dense = x.is_contiguous(memory_format=layout)
    y = None
    if (
        may_overwrite
        and is_dense
        and name == 'native'
        and hasattr(torch.autograd.graph, 'increment_version')
    ):
        y = x
        # So that a graph that has saved x raises, as after PyTorch's own
        # operators in place.
        if not x.is_inference():
            torch.autograd.graph.increment_version(x)
    outputs = new_outputs(inputs, y)
    if not is_dense or inputs.identity is not None:
        inputs = inputs._replace(
            x=_dense(x, layout), identity=_dense(inputs.identity, layout)
        )
    backend.forward(inputs, outputs)
    return outputs


def run_backward(
    inputs: Inputs, outputs: Outputs, grad_y: Tensor
) -> Gradients:
    """Run the backward pass.

    Args:
        inputs (Inputs): Checked arguments of the forward pass; the identity
            is not needed.
        outputs (Outputs): Results of the forward pass; y is None without
            addition and ReLU.
        grad_y (Tensor): Gradient of y; shape and type of x.
    """
    x = inputs.x
    # Sums are made in their own type and rounded once.
    kind = sum_dtype(x.dtype)
    gradients = new_gradients(inputs, outputs, kind)
    if x.numel():
        layout = _layout(x)
        y, mean, spread = outputs
        if not x.is_contiguous(memory_format=layout):
            inputs = inputs._replace(x=_dense(x, layout))
        load_backend(backend_for(x, inputs.groups)).backward(
            inputs,
            Outputs(_dense(y, layout), mean.contiguous(), spread.contiguous()),
            _dense(grad_y, layout),
            gradients,
        )
    else:
        for gradient in gradients:
            if gradient is not None:
                gradient.zero_()
    norm = inputs.norm
    return gradients._replace(
        weight=_like(gradients.weight, inputs.weight),
        bias=_like(gradients.bias, inputs.bias),
        scale=_like(gradients.scale, norm and norm.scale),
        shift=_like(gradients.shift, norm and norm.shift),
    )


def new_outputs(inputs: Inputs, y: Optional[Tensor] = None) -> Outputs:
    """Return unfilled results of the forward pass.

    Args:
        inputs (Inputs): Checked arguments.
        y (Tensor, optional): The map to be filled, instead of a new one.
            Default: None.
    """
    x = inputs.x
    if y is None:
        y = torch.empty_like(x, memory_format=_layout(x))
    mean = x.new_empty(x.shape[:2], dtype=sum_dtype(x.dtype))
    return Outputs(y, mean, mean.new_empty((x.shape[0], inputs.groups, 2)))


def new_gradients(
    inputs: Inputs, outputs: Outputs, dtype: Optional[torch.dtype] = None
) -> Gradients:
    """Return unfilled gradients.

    Args:
        inputs (Inputs): Checked arguments of the forward pass.
        outputs (Outputs): Its results.
        dtype (torch.dtype, optional): Type of the parameters' gradients.
            Default: that of each parameter.
    """
    x, weight, bias, norm, *_ = inputs
    of_x = torch.empty_like(x, memory_format=_layout(x))

    def new(parameter: MaybeTensor) -> MaybeTensor:
        if parameter is None:
            return parameter
        # Without options it takes half the time.
        if parameter.dtype == dtype and parameter.is_contiguous():
            return torch.empty_like(parameter)
        return torch.empty_like(
            parameter, dtype=dtype, memory_format=torch.contiguous_format
        )

    return Gradients(
        of_x,
        new(weight),
        new(bias),
        new(norm and norm.scale),
        new(norm and norm.shift),
        None if outputs.y is None else torch.empty_like(of_x),
    )


def _like(gradient: MaybeTensor, parameter: Optional[Tensor]) -> MaybeTensor:
    """Return the gradient of a parameter in the parameter's type."""
    if (
        gradient is None
        or parameter is None
        or gradient.dtype == parameter.dtype
    ):
        return gradient
    return gradient.to(parameter.dtype)


def _layout(x: Tensor) -> torch.memory_format:
    """Return the layout of results: channels-last where x comes in it."""
    if x.is_contiguous() or x.stride(1) != 1 or x.shape[1] == 1:
        return torch.contiguous_format
    return torch.channels_last


def _dense(tensor: MaybeTensor, layout: torch.memory_format) -> MaybeTensor:
    """Return a tensor without gaps, in a layout."""
    return None if tensor is None else tensor.contiguous(memory_format=layout)
