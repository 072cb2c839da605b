"""SGE in plain PyTorch, on any device, with the least memory that this takes.

On a CPU it walks over blocks of groups that fit into the cache. The formulas
and their names stand in :mod:`sge_mmdet.ops.reference`, the gradient in
:func:`backward`.
"""

from typing import Any, Iterator, Optional, Sequence, Tuple, cast

import torch
from torch import Tensor

from .passes import FixedNorm, Gradients, Inputs, Outputs, sum_dtype
from .reference import noise_level

# Small enough for the last cache, large enough to outweigh Python.
BLOCK_BYTES = 4 * 1024 * 1024


def forward(inputs: Inputs, outputs: Outputs) -> None:
    """Fill the outputs; see :mod:`sge_mmdet.ops.passes`."""
    x, identity, groups = inputs.x, inputs.identity, inputs.groups
    y = cast(Tensor, outputs.y)
    outputs.spread.zero_()
    for at, w, b, a in _blocks(inputs):
        z = _affine(_rows(x, at, groups).to(w.dtype), a)
        m = z.mean(-1, keepdim=True)
        t, level = _similarity(m, z, inputs.normalize)
        if level is not None:
            mu = (m * m).sum(-2, keepdim=True)
            s = (
                t.square().sum(-1, keepdim=True) / max(t.shape[-1] - 1, 1)
            ).sqrt_()
            s.masked_fill_(s <= noise_level(s.dtype) * mu, 0)
            t.mul_(_slope(s, inputs))
            has_rest = (mu > 0) & mu.isfinite()
            rest = torch.where(has_rest, level / mu, 0.0)
            outputs.spread[at].copy_(torch.cat([rest, s], -1)[..., 0, :])
        gate = t.mul_(w).add_(b).sigmoid_()
        out = z * gate if a is None else z.mul_(gate)
        if identity is not None:
            out.add_(_rows(identity, at, groups)).relu_()
        _rows(y, at, groups).copy_(out)
        _rows(outputs.mean, at, groups).copy_(m[..., 0])


def backward(
    inputs: Inputs, outputs: Outputs, grad_y: Tensor, gradients: Gradients
) -> None:
    r"""Fill the gradients; see :mod:`sge_mmdet.ops.passes`.

    With g the gradient of z times the gate q (that of y, where ReLU let it
    pass), and sums over the c channels of a group or its P positions p:

    .. math::
        e_p      &= q_p (1 - q_p) \sum_c g_{cp} z_{cp} \\
        \delta_p &= \frac{w}{s + \epsilon} \Big(e_p - \frac{1}{P} \sum_k e_k
            - t_p \frac{s + \epsilon}{(P - 1) s} \sum_k e_k t_k\Big) \\
        \partial z_{cp} &= g_{cp} q_p + m_c \delta_p
            + \frac{1}{P} \sum_k \delta_k z_{ck}

    The gradients of w and b are the sums of :math:`e_p t_p` and
    :math:`e_p`.
    """
    x, y, groups = inputs.x, outputs.y, inputs.groups
    positions = x.shape[2] * x.shape[3]
    # The gradients of a norm and of an identity are None without these.
    of_x, *of_parameters, of_identity = gradients
    of_weight, of_bias, of_scale, of_shift = (
        cast(Any, gradient)
        if gradient is None
        else gradient.zero_().view(groups, -1)
        for gradient in of_parameters
    )
    for at, w, b, a in _blocks(inputs):
        rows = _rows(x, at, groups).to(w.dtype)
        z = _affine(rows, a)
        g = _rows(grad_y, at, groups).to(w.dtype)
        if y is not None:
            # Not a product, in which NaN and infinity would remain.
            g = g.masked_fill(_rows(y, at, groups) <= 0, 0)
            _rows(cast(Tensor, of_identity), at, groups).copy_(g)
        m = _rows(outputs.mean, at, groups)[..., None]
        s = outputs.spread[at][..., 1, None, None]
        slope = _slope(s, inputs)
        t = _similarity(m, z, inputs.normalize)[0].mul_(slope)
        gate = (t * w).add_(b).sigmoid_()
        e = (g * z).sum(-2, keepdim=True)
        e = e.mul_(gate).mul_(1 - gate)
        sum_et = (e * t).sum(-1, keepdim=True)
        sum_e = e.sum(-1, keepdim=True)
        of_weight[at[1]] += sum_et[..., 0].sum(0)
        of_bias[at[1]] += sum_e[..., 0].sum(0)
        delta = e
        if inputs.normalize:
            tilt = sum_et / (max(positions - 1, 1) * s * slope)
            tilt = torch.where(slope > 0, tilt, 0.0)
            delta = e.sub_(sum_e / positions).sub_(t.mul_(tilt))
        delta = delta.mul_(w * slope)
        grad_z = g * gate
        grad_z.add_((z * delta).mean(-1, keepdim=True)).add_(m * delta)
        if a is not None:
            shift = None if of_shift is None else of_shift[at[1]]
            _through_norm(grad_z, rows, a, of_scale[at[1]], shift)
        _rows(of_x, at, groups).copy_(grad_z)


def _through_norm(
    grad_z: Tensor,
    rows: Tensor,
    affine: Sequence[Tensor],
    of_scale: Tensor,
    of_shift: Optional[Tensor],
) -> None:
    """Turn the gradient of a norm's output into that of its input, in place.

    Args:
        grad_z (Tensor): Gradient of the output, shape as ``rows``.
        rows (Tensor): Input of the norm, of shape (images, groups, channels,
            positions).
        affine (Sequence[Tensor]): Parameters of the norm from ``_blocks``.
        of_scale (Tensor): Gradient of the scale, to which is added.
        of_shift (Tensor, optional): Gradient of the shift, to which is added.
    """
    scale, mean, deviation = affine[0], affine[2], affine[3]
    of_scale += (grad_z * ((rows - mean) * deviation)).sum((0, -1))
    if of_shift is not None:
        of_shift += grad_z.sum((0, -1))
    grad_z.mul_(scale)


def _blocks(inputs: Inputs) -> Iterator[Tuple]:
    """Yield slices of images and groups, and the parameters of these.

    Those of the norm are its scale and shift, and what its own scale is
    multiplied by: x less a mean, times a factor.
    """
    x, groups = inputs.x, inputs.groups
    images, channels, height, width = x.shape
    step, images_at_once = groups, images
    if x.device.type == 'cpu':
        images_at_once = 1
        group_bytes = x.element_size() * height * width * channels // groups
        step = max(1, BLOCK_BYTES // max(group_bytes, 1))
    kind = sum_dtype(x.dtype)
    w, b = (
        parameter.to(kind).view(groups, 1, 1)
        for parameter in (inputs.weight, inputs.bias)
    )
    a = None
    if inputs.norm is not None:
        a = [
            None if vector is None else vector.view(groups, -1, 1)
            for vector in (
                *inputs.norm.affine(kind),
                *_standard(inputs.norm, kind),
            )
        ]
    for n in range(0, images, images_at_once):
        for g in range(0, groups, step):
            rows = slice(g, g + step)
            yield (
                (slice(n, n + images_at_once), rows),
                w[rows],
                b[rows],
                a and [v if v is None else v[rows] for v in a],
            )


def _standard(norm: FixedNorm, kind: torch.dtype) -> Tuple[Tensor, Tensor]:
    """Return a norm's mean and the inverse of its deviation."""
    if norm.mean is None or norm.variance is None:
        return norm.scale.new_zeros(len(norm.scale), dtype=kind), (
            norm.scale.new_ones(len(norm.scale), dtype=kind)
        )
    return norm.mean.to(kind), torch.rsqrt(norm.variance.to(kind) + norm.eps)


def _rows(maps: Tensor, at: Tuple[slice, slice], groups: int) -> Tensor:
    """Return a block of shape (images, groups, channels[, positions])."""
    rows = maps[at[0]].unflatten(1, (groups, -1))[:, at[1]]
    return rows.flatten(3) if maps.dim() == 4 else rows


def _affine(x: Tensor, a: 'Optional[list[Any]]') -> Tensor:
    if a is None:
        return x
    return x * a[0] if a[1] is None else torch.addcmul(a[1], x, a[0])


def _similarity(
    m: Tensor, z: Tensor, normalize: bool
) -> Tuple[Tensor, Optional[Tensor]]:
    """Return d, less its mean where it is to be normalised.

    The second result is the mean of m . (z - m) that was subtracted, or None.
    """
    # Not a matrix product, which autocast would turn into half precision.
    if not normalize:
        return (m * z).sum(-2, keepdim=True), None
    d = (m * (z - m)).sum(-2, keepdim=True)
    level = d.mean(-1, keepdim=True)
    return d.sub_(level), level


def _slope(s: Tensor, inputs: Inputs) -> Tensor:
    """Return what d less its mean is multiplied by to give t."""
    if not inputs.normalize:
        return torch.ones_like(s)
    return torch.where(s <= 0, 0.0, 1 / (s + inputs.eps))
