"""Checks of the operator's arguments: types, shapes and devices."""

from typing import Optional, Tuple

import torch
from torch import Tensor, fx, strided

from .passes import FixedNorm, Inputs, Outputs, sum_dtype


def check_groups(channels: int, groups: int) -> None:
    """Raise a ValueError unless ``groups`` equal groups make up ``channels``.

    Args:
        channels: Number of channels of the feature map.
        groups: Number of groups.

    Raises:
        ValueError: If ``groups`` is not a positive integer that divides
            ``channels``; the message names the nearest numbers that do.
    """
    if not isinstance(groups, int):
        raise ValueError(
            'SGE needs a number of groups that is an int, got '
            f'groups={groups!r} of type {type(groups).__name__}; pass '
            'int(groups)'
        )
    if groups > 0 and channels % groups == 0:
        return
    divisors = [g for g in range(1, channels + 1) if channels % g == 0]
    nearest = [g for g in divisors if g < groups][-1:] + [
        g for g in divisors if g > groups
    ][:1]
    raise ValueError(
        'SGE needs a number of groups that divides the channels, got '
        f'groups={groups!r} for {channels} channels; nearest that work: '
        f'{" and ".join(map(str, nearest))}'
    )


def largest_groups(channels: int, groups: int) -> int:
    """Return the largest number of groups that fits the channels.

    Args:
        channels: Number of channels of the feature map.
        groups: Number of groups wished for.

    Returns:
        The largest divisor of ``channels`` that is not above ``groups``.

    Raises:
        ValueError: If ``groups`` is not a positive integer.

    Examples:
        >>> largest_groups(256, 64), largest_groups(288, 64)
        (64, 48)
    """
    if not isinstance(groups, int) or groups < 1:
        raise ValueError(
            f'The number of groups is a positive integer, got {groups!r}'
        )
    return next(g for g in range(groups, 0, -1) if channels % g == 0)


def check_forward(inputs: Inputs) -> None:
    """Raise unless the arguments of a forward pass fit one another.

    Args:
        inputs: The arguments; see :class:`sge_mmdet.ops.passes.Inputs`.

    Raises:
        TypeError: If an argument is not a tensor, or one of a wrong type.
        ValueError: If a shape or a device is wrong, ``groups`` does not
            divide C, or ``eps`` is not positive.
    """
    x, weight, bias, norm, identity, groups, eps, _ = inputs
    _check_tensor('feature map', x)
    if x.dim() != 4:
        raise ValueError(
            'SGE takes a feature map of shape (N, C, H, W), got '
            f'{tuple(x.shape)}'
        )
    if not x.is_floating_point():
        raise TypeError(
            'SGE takes a floating point feature map, got '
            f'{x.dtype}; convert it first, e.g. x.float()'
        )
    if x.layout != strided:
        raise TypeError(
            f'SGE takes a dense feature map, got {x.layout}; '
            'convert it first: x.to_dense()'
        )
    check_groups(x.shape[1], groups)
    check_eps(eps)
    device, of_groups = x.device, (1, groups, 1, 1)
    _check_parameter('weight', weight, of_groups, device)
    _check_parameter('bias', bias, of_groups, device)
    if identity is not None:
        _check_map('identity', identity, x)
    if norm is not None:
        _check_norm(norm, x)


def check_backward(inputs: Inputs, outputs: Outputs, grad_y: Tensor) -> None:
    """Raise unless the arguments of a backward pass fit one another.

    Args:
        inputs: Arguments of the forward pass.
        outputs: Its results.
        grad_y: Gradient of y; shape and type of x.

    Raises:
        TypeError: As :func:`check_forward`.
        ValueError: As :func:`check_forward`.
    """
    check_forward(inputs)
    x, groups = inputs.x, inputs.groups
    kind = sum_dtype(x.dtype)
    for name, tensor, shape in (
        ('mean', outputs.mean, x.shape[:2]),
        ('spread', outputs.spread, (x.shape[0], groups, 2)),
    ):
        _check_parameter(name, tensor, shape, x.device)
        if tensor.dtype != kind:
            raise TypeError(
                f'SGE takes a {name} of type {kind}, got {tensor.dtype}'
            )
    _check_map('grad_y', grad_y, x)
    if outputs.y is not None:
        _check_map('y', outputs.y, x)


def check_eps(eps: float) -> None:
    """Raise unless ``eps`` can be added to a divisor.

    Args:
        eps: Added to the standard deviation of the similarity.

    Raises:
        TypeError: If ``eps`` is not a number.
        ValueError: If ``eps`` is not positive.
    """
    try:
        is_positive = eps > 0
    except TypeError as error:
        raise TypeError(
            f'SGE takes an eps that is a positive number, got eps={eps!r} of '
            f'type {type(eps).__name__}; pass a float such as 1e-5'
        ) from error
    if not is_positive:
        raise ValueError(
            'SGE divides by the standard deviation + eps; eps must be '
            f'positive, got {eps!r}'
        )


def _check_norm(norm: FixedNorm, x: Tensor) -> None:
    """Raise unless the vectors of a norm fit a feature map."""
    scale, shift, mean, variance, _ = norm
    if scale is None or (mean is None) != (variance is None):
        raise ValueError(
            'A norm before SGE takes a scale, and mean and variance together '
            'or not at all; without a scale, give ones in its place'
        )
    of_channels, device = x.shape[1:2], x.device
    _check_parameter('scale', scale, of_channels, device)
    if shift is not None:
        _check_parameter('shift', shift, of_channels, device)
    if mean is not None:
        _check_parameter('running mean', mean, of_channels, device)
        _check_parameter('running variance', variance, of_channels, device)


def _check_tensor(name: str, value: object) -> Tensor:
    if not isinstance(value, Tensor):
        advice = (
            "; for torch.fx, call torch.fx.wrap('spatial_group_enhance') in "
            'your module, or use the layer SpatialGroupEnhance'
            if isinstance(value, fx.Proxy)
            else ''
        )
        raise TypeError(
            f'SGE takes a {name} that is a torch.Tensor, got '
            f'{type(value).__module__}.{type(value).__qualname__}{advice}'
        )
    return value


def _check_map(name: str, tensor: Tensor, x: Tensor) -> None:
    """Raise unless a tensor is a map like x."""
    _check_tensor(name, tensor)
    if tensor.shape != x.shape:
        raise ValueError(
            f'SGE takes a {name} of the shape of x, '
            f'{tuple(x.shape)}, got {tuple(tensor.shape)}'
        )
    if tensor.dtype != x.dtype or tensor.layout != x.layout:
        raise TypeError(
            f'SGE takes a {name} of the type of x, {x.dtype}, '
            f'got {tensor.dtype} ({tensor.layout})'
        )
    _check_device(name, tensor, x.device)


def _check_parameter(
    name: str,
    tensor: Optional[Tensor],
    shape: Tuple[int, ...],
    device: torch.device,
) -> None:
    if (
        isinstance(tensor, Tensor)
        and tensor.shape == shape
        and tensor.is_floating_point()
        and tensor.layout == strided
        and tensor.device == device
    ):
        return
    tensor = _check_tensor(name, tensor)
    if tensor.shape != shape:
        raise ValueError(
            f'SGE takes a {name} of shape {tuple(shape)}, got '
            f'{tuple(tensor.shape)}'
        )
    if not tensor.is_floating_point() or tensor.layout != strided:
        raise TypeError(
            f'SGE takes a {name} of dense floating point numbers, '
            f'got {tensor.dtype} ({tensor.layout})'
        )
    _check_device(name, tensor, device)


def _check_device(name: str, tensor: Tensor, device: torch.device) -> None:
    if tensor.device != device:
        raise ValueError(
            f'SGE takes a {name} on the device of x, {device}, '
            f'got one on {tensor.device}'
        )
