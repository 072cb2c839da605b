"""SGE in plain PyTorch, on any device, with the least memory that this takes.

On a CPU it walks over blocks of groups that fit into the cache. The formulas
and their names stand in :mod:`sge_mmdet.ops.reference`, the gradient in
:func:`backward`.
"""
from typing import Iterator, Optional, Tuple

import torch
from torch import Tensor

# Small enough for the last cache, large enough to outweigh Python.
BLOCK_BYTES = 4 * 1024 * 1024


def forward(x: Tensor, weight: Tensor, bias: Tensor, scale: Optional[Tensor],
            shift: Optional[Tensor], identity: Optional[Tensor], groups: int,
            eps: float, normalize: bool, y: Tensor, mean: Tensor,
            spread: Tensor) -> None:
    """Compute ``y``, ``mean`` and ``spread``; see ``operator.enhance``."""
    for at, w, b, a in _blocks(x, weight, bias, scale, shift, groups):
        z = _affine(_rows(x, at, groups).to(w.dtype), a)
        m = z.mean(-1, keepdim=True)
        d = _similarity(m, z)
        mu = d.mean(-1, keepdim=True)
        s = d.std(-1, correction=int(d.shape[-1] > 1), keepdim=True)
        t = _normalized(d, mu, s, eps, normalize)[0]
        gate = t.mul_(w).add_(b).sigmoid_()
        out = z * gate if a is None else z.mul_(gate)
        if identity is not None:
            out.add_(_rows(identity, at, groups)).relu_()
        _rows(y, at, groups).copy_(out)
        _rows(mean, at, groups).copy_(m[..., 0])
        spread[at].copy_(torch.cat([mu, s], -1)[..., 0, :])


def backward(grad_y: Tensor, x: Tensor, y: Optional[Tensor], mean: Tensor,
             spread: Tensor, weight: Tensor, bias: Tensor,
             scale: Optional[Tensor], shift: Optional[Tensor], groups: int,
             eps: float, normalize: bool, grad_x: Tensor,
             grad_identity: Optional[Tensor], grad_weight: Tensor,
             grad_bias: Tensor, grad_scale: Optional[Tensor],
             grad_shift: Optional[Tensor]) -> None:
    r"""Compute the gradients; see ``operator.enhance``.

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
    for at, w, b, a in _blocks(x, weight, bias, scale, shift, groups):
        rows = _rows(x, at, groups).to(w.dtype)
        z = _affine(rows, a)
        g = _rows(grad_y, at, groups).to(w.dtype)
        if y is not None:
            # Not a product, by which NaN and infinity would remain.
            g = g.masked_fill(_rows(y, at, groups) <= 0, 0)
            _rows(grad_identity, at, groups).copy_(g)
        m = _rows(mean, at, groups)[..., None]
        mu, s = spread[at][..., None].unbind(-2)
        mu, s = mu[..., None], s[..., None]
        t, slope = _normalized(_similarity(m, z), mu, s, eps, normalize)
        gate = (t * w).add_(b).sigmoid_()
        e = (g * z).sum(-2, keepdim=True)
        e = e.mul_(gate).mul_(1 - gate)
        sum_et = (e * t).sum(-1, keepdim=True)
        sum_e = e.sum(-1, keepdim=True)
        grad_weight[at].copy_(sum_et[..., 0, 0])
        grad_bias[at].copy_(sum_e[..., 0, 0])
        delta = e
        if normalize:
            positions = t.shape[-1]
            tilt = sum_et / (max(positions - 1, 1) * s * slope)
            tilt = torch.where(slope > 0, tilt, 0.)
            delta = e.sub_(sum_e / positions).sub_(t.mul_(tilt))
        delta = delta.mul_(w * slope)
        grad_z = g * gate
        grad_z.add_((z * delta).mean(-1, keepdim=True)).add_(m * delta)
        if grad_scale is not None:
            _rows(grad_scale, at, groups).copy_((grad_z * rows).sum(-1))
            _rows(grad_shift, at, groups).copy_(grad_z.sum(-1))
        if a is not None:
            grad_z.mul_(a[0])
        _rows(grad_x, at, groups).copy_(grad_z)


def _blocks(x: Tensor, weight: Tensor, bias: Tensor, scale: Optional[Tensor],
            shift: Optional[Tensor], groups: int) -> Iterator[Tuple]:
    """Yield slices of images and groups, and the parameters of these."""
    images, channels, height, width = x.shape
    step, images_at_once = groups, images
    if x.device.type == 'cpu':
        images_at_once = 1
        group_bytes = x.element_size() * height * width * channels // groups
        step = max(1, BLOCK_BYTES // max(group_bytes, 1))
    w, b = (parameter.view(groups, 1, 1) for parameter in (weight, bias))
    a = None if scale is None else [
        parameter.view(groups, -1, 1) for parameter in (scale, shift)]
    for n in range(0, images, images_at_once):
        for g in range(0, groups, step):
            rows = slice(g, g + step)
            yield ((slice(n, n + images_at_once), rows), w[rows], b[rows],
                   a and [parameter[rows] for parameter in a])


def _rows(maps: Tensor, at: Tuple[slice, slice], groups: int) -> Tensor:
    """Return a block of shape (images, groups, channels[, positions])."""
    rows = maps[at[0]].unflatten(1, (groups, -1))[:, at[1]]
    return rows.flatten(3) if maps.dim() == 4 else rows


def _affine(x: Tensor, a: 'Optional[list[Tensor]]') -> Tensor:
    return x if a is None else torch.addcmul(a[1], x, a[0])


def _similarity(m: Tensor, z: Tensor) -> Tensor:
    # Not a matrix product, which autocast would turn into half precision.
    return (m * z).sum(-2, keepdim=True)


def _normalized(d: Tensor, mu: Tensor, s: Tensor, eps: float,
                normalize: bool) -> Tuple[Tensor, Tensor]:
    """Return t and its slope over d."""
    if not normalize:
        return d, torch.ones_like(s)
    noise = 16 * torch.finfo(d.dtype).eps * mu
    slope = torch.where(s <= noise, 0., 1 / (s + eps))
    return (d - mu).mul_(slope), slope
