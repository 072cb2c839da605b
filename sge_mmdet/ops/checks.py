"""What the operator takes: types, shapes and devices, checked by name."""

from typing import Optional, Tuple

import torch
from torch import Tensor, strided

from .passes import sum_dtype


def check_groups(channels: int, groups: int) -> None:
    """Raise a ValueError unless ``groups`` equal groups make up ``channels``.

    Args:
        channels: Number of channels of the feature map.
        groups: Number of groups.

    Raises:
        ValueError: If ``groups`` is not a positive integer that divides
            ``channels``; the message names the nearest numbers that do.
    """
    if isinstance(groups, int) and groups > 0 and channels % groups == 0:
        return
    message = (
        f'SGE needs a number of groups that divides the channels, got '
        f'groups={groups!r} for {channels} channels'
    )
    if isinstance(groups, int):
        divisors = [g for g in range(1, channels + 1) if channels % g == 0]
        nearest = [g for g in divisors if g < groups][-1:] + [
            g for g in divisors if g > groups
        ][:1]
        message += f'; nearest that work: {" and ".join(map(str, nearest))}'
    raise ValueError(message)


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


def check_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: Optional[Tensor],
    shift: Optional[Tensor],
    running_mean: Optional[Tensor],
    running_var: Optional[Tensor],
    identity: Optional[Tensor],
    groups: int,
) -> None:
    """Raise unless the arguments of a forward pass fit one another.

    Args:
        x: Feature map of shape (N, C, H, W), of a real floating point type.
        weight: w of shape (1, G, 1, 1).
        bias: b of shape (1, G, 1, 1).
        scale: Of the norm, shape (C,), or None.
        shift: Of the norm, shape (C,); given where ``scale`` is.
        running_mean: Of the norm, shape (C,), or None.
        running_var: Of the norm, shape (C,); given where its mean is.
        identity: Of the shape and type of ``x``, or None.
        groups: Number of groups G; it divides C.

    Raises:
        TypeError: If a tensor is of a wrong type.
        ValueError: If a shape or a device is wrong, or ``groups`` does not
            divide C.
    """
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
    device, of_groups = x.device, (1, groups, 1, 1)
    _check_parameter('weight', weight, of_groups, device)
    _check_parameter('bias', bias, of_groups, device)
    if identity is not None:
        _check_map('identity', identity, x)
    if (scale is None) != (shift is None) or (
        (running_mean is None) != (running_var is None)
    ):
        raise ValueError(
            'scale and shift of a norm are given together or not '
            'at all, and so are its mean and variance'
        )
    if scale is None:
        if running_mean is not None:
            raise ValueError(
                'A norm without scale and shift is given ones '
                'and zeros in their place'
            )
        return
    of_channels = x.shape[1:2]
    _check_parameter('scale', scale, of_channels, device)
    _check_parameter('shift', shift, of_channels, device)
    if running_mean is not None:
        _check_parameter('running mean', running_mean, of_channels, device)
        _check_parameter('running variance', running_var, of_channels, device)


def check_backward(
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
) -> None:
    """Raise unless the arguments of a backward pass fit one another.

    Args:
        grad_y: Of the shape and type of ``x``.
        x: As in :func:`check_forward`, as all that is not named here.
        y: Of the shape and type of ``x``, or None.
        mean: Of shape (N, C), in the type of sums.
        spread: Of shape (N, G, 2), in the type of sums.
        weight: w.
        bias: b.
        scale: Of the norm.
        shift: Of the norm.
        running_mean: Of the norm.
        running_var: Of the norm.
        groups: Number of groups G.

    Raises:
        TypeError: If a tensor is of a wrong type.
        ValueError: If a shape or a device is wrong, or ``groups`` does not
            divide C.
    """
    check_forward(
        x, weight, bias, scale, shift, running_mean, running_var, None, groups
    )
    kind = sum_dtype(x.dtype)
    for name, tensor, shape in (
        ('mean', mean, x.shape[:2]),
        ('spread', spread, (x.shape[0], groups, 2)),
    ):
        _check_parameter(name, tensor, shape, x.device)
        if tensor.dtype != kind:
            raise TypeError(
                f'SGE takes a {name} of type {kind}, got {tensor.dtype}'
            )
    _check_map('grad_y', grad_y, x)
    if y is not None:
        _check_map('y', y, x)


def _check_map(name: str, tensor: Tensor, x: Tensor) -> None:
    """Raise unless a tensor is a map like x."""
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
    name: str, tensor: Tensor, shape: Tuple[int, ...], device: torch.device
) -> None:
    if (
        tensor.shape == shape
        and tensor.is_floating_point()
        and tensor.layout == strided
        and tensor.device == device
    ):
        return
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
