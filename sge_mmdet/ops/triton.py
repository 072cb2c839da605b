"""SGE on CUDA, in Triton.

A group of channels of an image is cut into parts of its positions, one a
program. Each pass leaves its sums over the parts in memory, where the next one
adds them up in a fixed order, so that results do not change from run to run:
the forward pass reads x for the means, for the spread of the similarity, and
for the result; the backward pass reads x and the gradient for its sums and for
the result. Maps that are read again come from the GPU's cache where they fit.

The formulas and their names stand in :mod:`sge_mmdet.ops.reference` and
:func:`sge_mmdet.ops.eager.backward`.
"""
from typing import Tuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from .passes import Gradients, Inputs, Outputs

# Values in registers at a time, and programs that keep a GPU busy.
TILE = 4096
PROGRAMS = 1024


@triton.jit
def _place(parts, positions, groups, image_step, channel_step, position_step,
           c: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr,
           CHUNK: tl.constexpr):
    """Return task, part, the channels, and the pointers' offsets."""
    program = tl.program_id(0)
    task = program // parts
    part = program % parts
    image = (task // groups).to(tl.int64)
    group = task % groups
    channel = tl.arange(0, BLOCK_C)
    position = part * CHUNK + tl.arange(0, BLOCK_P)
    offset = (image * image_step
              + (group * c + channel)[:, None].to(tl.int64) * channel_step
              + position[None, :].to(tl.int64) * position_step)
    return task, part, group, channel, position, offset


@triton.jit
def _load_z(x, offset, keep, scale, shift, group, channel,
            AFFINE: tl.constexpr, c: tl.constexpr):
    """Return z of a tile, 0 outside the map, and x itself."""
    value = tl.load(x + offset, mask=keep, other=0.).to(tl.float32)
    z = value
    if AFFINE:
        inside = channel < c
        a = tl.load(scale + group * c + channel, mask=inside, other=0.)
        b = tl.load(shift + group * c + channel, mask=inside, other=0.)
        z = tl.where(keep, value * a[:, None] + b[:, None], 0.)
    return z, value


@triton.jit
def _first_z(x, task, groups, image_step, channel_step, scale, shift, group,
             channel, AFFINE: tl.constexpr, c: tl.constexpr):
    """Return z of a group at its first position; 0 for what is not finite.

    Sums are taken relative to it, and a difference of infinities is NaN.
    """
    offset = ((task // groups).to(tl.int64) * image_step
              + (group * c + channel).to(tl.int64) * channel_step)
    z, _ = _load_z(x, offset[:, None], (channel < c)[:, None], scale, shift,
                   group, channel, AFFINE, c)
    first = tl.sum(z, 1)
    return tl.where(tl.abs(first) < float('inf'), first, 0.)


@triton.jit
def _sum_parts(sums, task, parts, BLOCK_S: tl.constexpr):
    index = tl.arange(0, BLOCK_S)
    return tl.sum(tl.load(sums + task * parts + index, mask=index < parts,
                          other=0.), 0)


@triton.jit
def _load_mean(mean, task, channel, c: tl.constexpr):
    return tl.load(mean + task * c + channel, mask=channel < c, other=0.)


@triton.jit
def _slope(mu, deviation, eps, NORMALIZE: tl.constexpr):
    if NORMALIZE:
        # 16 times the machine epsilon of float32.
        is_flat = deviation <= 16 * 1.1920928955078125e-07 * mu
        return tl.where(is_flat, 0., 1 / (deviation + eps))
    else:
        return 1.


@triton.jit
def _similarity(z, mean, mu, slope, NORMALIZE: tl.constexpr):
    """Return t of a tile."""
    d = tl.sum(z * mean[:, None], 0)
    if NORMALIZE:
        d = (d - mu) * slope
    return d


@triton.jit
def _mean_kernel(x, scale, shift, sums, parts, positions, groups, image_step,
                 channel_step, position_step, c: tl.constexpr,
                 BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr,
                 CHUNK: tl.constexpr, AFFINE: tl.constexpr):
    task, part, group, channel, position, offset = _place(
        parts, positions, groups, image_step, channel_step, position_step, c,
        BLOCK_C, BLOCK_P, CHUNK)
    # Less the first position, so that of a constant nothing is left.
    first = _first_z(x, task, groups, image_step, channel_step, scale, shift,
                     group, channel, AFFINE, c)
    total = tl.zeros((BLOCK_C, BLOCK_P), tl.float32)
    for i in range(0, CHUNK, BLOCK_P):
        keep = (channel < c)[:, None] & (position + i < positions)[None, :]
        z, _ = _load_z(x, offset + i * position_step, keep, scale, shift,
                       group, channel, AFFINE, c)
        total += tl.where(keep, z - first[:, None], 0.)
    tl.store(sums + (task * parts + part) * c + channel, tl.sum(total, 1),
             mask=channel < c)


@triton.jit
def _square_kernel(x, scale, shift, sums, mean, squares, parts, positions,
                   groups, image_step, channel_step, position_step,
                   c: tl.constexpr, BLOCK_C: tl.constexpr,
                   BLOCK_P: tl.constexpr, BLOCK_S: tl.constexpr,
                   CHUNK: tl.constexpr, AFFINE: tl.constexpr):
    task, part, group, channel, position, offset = _place(
        parts, positions, groups, image_step, channel_step, position_step, c,
        BLOCK_C, BLOCK_P, CHUNK)
    index = tl.arange(0, BLOCK_S)
    m = tl.sum(tl.load(
        sums + (task * parts + index)[None, :] * c + channel[:, None],
        mask=(channel < c)[:, None] & (index < parts)[None, :],
        other=0.), 1) / positions
    m += _first_z(x, task, groups, image_step, channel_step, scale, shift,
                  group, channel, AFFINE, c)
    if part == 0:
        tl.store(mean + task * c + channel, m, mask=channel < c)
    # The mean of d = m . z is that of z times m.
    mu = tl.sum(m * m, 0)
    total = tl.zeros((BLOCK_P, ), tl.float32)
    for i in range(0, CHUNK, BLOCK_P):
        inside = position + i < positions
        keep = (channel < c)[:, None] & inside[None, :]
        z, _ = _load_z(x, offset + i * position_step, keep, scale, shift,
                       group, channel, AFFINE, c)
        d = tl.where(inside, tl.sum(z * m[:, None], 0) - mu, 0.)
        total += d * d
    tl.store(squares + task * parts + part, tl.sum(total, 0))


@triton.jit
def _apply_kernel(x, weight, bias, scale, shift, identity, y, mean, squares,
                  spread, parts, positions, groups, image_step, channel_step,
                  position_step, eps, c: tl.constexpr, BLOCK_C: tl.constexpr,
                  BLOCK_P: tl.constexpr, BLOCK_S: tl.constexpr,
                  CHUNK: tl.constexpr, AFFINE: tl.constexpr,
                  NORMALIZE: tl.constexpr, RESIDUAL: tl.constexpr):
    task, part, group, channel, position, offset = _place(
        parts, positions, groups, image_step, channel_step, position_step, c,
        BLOCK_C, BLOCK_P, CHUNK)
    m = _load_mean(mean, task, channel, c)
    mu = tl.sum(m * m, 0)
    deviation = tl.sqrt(_sum_parts(squares, task, parts, BLOCK_S)
                        / tl.maximum(positions - 1, 1))
    if part == 0:
        tl.store(spread + 2 * task, mu)
        tl.store(spread + 2 * task + 1, deviation)
    slope = _slope(mu, deviation, eps, NORMALIZE)
    w = tl.load(weight + group)
    b = tl.load(bias + group)
    for i in range(0, CHUNK, BLOCK_P):
        keep = (channel < c)[:, None] & (position + i < positions)[None, :]
        at = offset + i * position_step
        z, _ = _load_z(x, at, keep, scale, shift, group, channel, AFFINE, c)
        t = _similarity(z, m, mu, slope, NORMALIZE)
        out = z * tl.sigmoid(w * t + b)[None, :]
        if RESIDUAL:
            out += tl.load(identity + at, mask=keep, other=0.).to(tl.float32)
            out = tl.where(out < 0, 0., out)
        tl.store(y + at, out.to(y.dtype.element_ty), mask=keep)


@triton.jit
def _load_grad(grad_y, y, at, keep, RESIDUAL: tl.constexpr):
    """Return the gradient of z times the gate."""
    g = tl.load(grad_y + at, mask=keep, other=0.).to(tl.float32)
    if RESIDUAL:
        out = tl.load(y + at, mask=keep, other=0.).to(tl.float32)
        g = tl.where(out <= 0, 0., g)
    return g


@triton.jit
def _sums_kernel(grad_y, x, y, weight, bias, scale, shift, mean, spread,
                 sum_e, sum_et, sum_ez, sum_tz, parts, positions, groups,
                 image_step, channel_step, position_step, eps,
                 c: tl.constexpr, BLOCK_C: tl.constexpr,
                 BLOCK_P: tl.constexpr, CHUNK: tl.constexpr,
                 AFFINE: tl.constexpr, NORMALIZE: tl.constexpr,
                 RESIDUAL: tl.constexpr):
    task, part, group, channel, position, offset = _place(
        parts, positions, groups, image_step, channel_step, position_step, c,
        BLOCK_C, BLOCK_P, CHUNK)
    m = _load_mean(mean, task, channel, c)
    mu = tl.load(spread + 2 * task)
    slope = _slope(mu, tl.load(spread + 2 * task + 1), eps, NORMALIZE)
    w = tl.load(weight + group)
    b = tl.load(bias + group)
    total_e = tl.zeros((BLOCK_P, ), tl.float32)
    total_et = tl.zeros((BLOCK_P, ), tl.float32)
    total_ez = tl.zeros((BLOCK_C, ), tl.float32)
    total_tz = tl.zeros((BLOCK_C, ), tl.float32)
    for i in range(0, CHUNK, BLOCK_P):
        keep = (channel < c)[:, None] & (position + i < positions)[None, :]
        at = offset + i * position_step
        z, _ = _load_z(x, at, keep, scale, shift, group, channel, AFFINE, c)
        g = _load_grad(grad_y, y, at, keep, RESIDUAL)
        t = _similarity(z, m, mu, slope, NORMALIZE)
        gate = tl.sigmoid(w * t + b)
        # Outside the map the gate of an infinite w is NaN.
        e = tl.where(position + i < positions,
                     tl.sum(g * z, 0) * gate * (1 - gate), 0.)
        total_e += e
        total_et += e * t
        total_ez += tl.sum(z * e[None, :], 1)
        total_tz += tl.sum(z * t[None, :], 1)
    at = task * parts + part
    tl.store(sum_e + at, tl.sum(total_e, 0))
    tl.store(sum_et + at, tl.sum(total_et, 0))
    tl.store(sum_ez + at * c + channel, total_ez, mask=channel < c)
    tl.store(sum_tz + at * c + channel, total_tz, mask=channel < c)


@triton.jit
def _grad_kernel(grad_y, x, y, weight, bias, scale, shift, mean, spread,
                 level, tilt, share, grad_x, grad_identity, sum_scale,
                 sum_shift, parts, positions, groups, image_step,
                 channel_step, position_step, eps, c: tl.constexpr,
                 BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr,
                 CHUNK: tl.constexpr, AFFINE: tl.constexpr,
                 NORMALIZE: tl.constexpr, RESIDUAL: tl.constexpr):
    task, part, group, channel, position, offset = _place(
        parts, positions, groups, image_step, channel_step, position_step, c,
        BLOCK_C, BLOCK_P, CHUNK)
    m = _load_mean(mean, task, channel, c)
    mu = tl.load(spread + 2 * task)
    slope = _slope(mu, tl.load(spread + 2 * task + 1), eps, NORMALIZE)
    w = tl.load(weight + group)
    b = tl.load(bias + group)
    mean_e = tl.load(level + task)
    tilt_of_t = tl.load(tilt + task)
    rest = _load_mean(share, task, channel, c)
    total_scale = tl.zeros((BLOCK_C, ), tl.float32)
    total_shift = tl.zeros((BLOCK_C, ), tl.float32)
    for i in range(0, CHUNK, BLOCK_P):
        keep = (channel < c)[:, None] & (position + i < positions)[None, :]
        at = offset + i * position_step
        z, value = _load_z(x, at, keep, scale, shift, group, channel, AFFINE,
                           c)
        g = _load_grad(grad_y, y, at, keep, RESIDUAL)
        if RESIDUAL:
            tl.store(grad_identity + at, g.to(grad_y.dtype.element_ty),
                     mask=keep)
        t = _similarity(z, m, mu, slope, NORMALIZE)
        gate = tl.sigmoid(w * t + b)
        e = tl.sum(g * z, 0) * gate * (1 - gate)
        delta = w * slope * (e - mean_e - tilt_of_t * t)
        grad_z = g * gate[None, :] + m[:, None] * delta[None, :]
        grad_z = tl.where(keep, grad_z + rest[:, None], 0.)
        if AFFINE:
            total_scale += tl.sum(grad_z * value, 1)
            total_shift += tl.sum(grad_z, 1)
            a = tl.load(scale + group * c + channel, mask=channel < c,
                        other=0.)
            grad_z *= a[:, None]
        tl.store(grad_x + at, grad_z.to(grad_x.dtype.element_ty), mask=keep)
    if AFFINE:
        at = (task * parts + part) * c + channel
        tl.store(sum_scale + at, total_scale, mask=channel < c)
        tl.store(sum_shift + at, total_shift, mask=channel < c)


def forward(inputs: Inputs, outputs: Outputs) -> None:
    """Fill the outputs; see :mod:`sge_mmdet.ops.passes`."""
    x, weight, bias, norm, identity, groups, eps, normalize = inputs
    y, mean, spread = outputs
    scale, shift = (None, None) if norm is None else norm.affine(mean.dtype)
    grid, place, blocks = _cut(x, groups)
    parts = place[0]
    blocks.update(AFFINE=scale is not None)
    count = {'BLOCK_S': triton.next_power_of_2(parts)}
    sums = mean.new_empty((*mean.shape, parts))
    squares = mean.new_empty((len(x), groups, parts))
    with _on(x):
        _mean_kernel[grid](x, scale, shift, sums, *place, **blocks)
        _square_kernel[grid](x, scale, shift, sums, mean, squares, *place,
                             **blocks, **count)
        _apply_kernel[grid](x, weight, bias, scale, shift, identity, y, mean,
                            squares, spread, *place, eps, **blocks, **count,
                            NORMALIZE=normalize, RESIDUAL=identity is not None)


def backward(inputs: Inputs, outputs: Outputs, grad_y: Tensor,
             gradients: Gradients) -> None:
    """Fill the gradients; see :mod:`sge_mmdet.ops.passes`."""
    x, weight, bias, norm, _, groups, eps, normalize = inputs
    y, mean, spread = outputs
    scale, shift = (None, None) if norm is None else norm.affine(mean.dtype)
    grid, place, blocks = _cut(x, groups)
    parts, positions = place[:2]
    flags = dict(blocks, AFFINE=scale is not None, NORMALIZE=normalize,
                 RESIDUAL=y is not None)
    tensors = (grad_y, x, y, weight, bias, scale, shift, mean, spread)
    images = len(x)
    sum_e, sum_et = mean.new_empty((2, images, groups, parts)).unbind()
    sum_ez, sum_tz = mean.new_empty(
        (2, images, groups, parts, mean.shape[1] // groups)).unbind()
    with _on(x):
        _sums_kernel[grid](*tensors, sum_e, sum_et, sum_ez, sum_tz, *place,
                           eps, **flags)
        total_e, total_et = sum_e.sum(-1), sum_et.sum(-1)
        gradients.weight.copy_(total_et.sum(0).view_as(gradients.weight))
        gradients.bias.copy_(total_e.sum(0).view_as(gradients.bias))
        level, tilt, share = _shares(
            total_e, total_et, sum_ez.sum(2), sum_tz.sum(2), mean,
            spread, weight.view(-1), positions, eps, normalize)
        sums = mean.new_empty((2, *sum_ez.shape))
        _grad_kernel[grid](*tensors, level, tilt, share, gradients.x,
                           gradients.identity, sums[0], sums[1], *place, eps,
                           **flags)
        if scale is not None:
            gradients.scale.copy_(sums[0].sum((0, 2)).flatten())
            gradients.shift.copy_(sums[1].sum((0, 2)).flatten())
            if norm.mean is not None:
                gradients.scale.sub_(norm.mean * gradients.shift).mul_(
                    torch.rsqrt(norm.variance + norm.eps))


def _shares(sum_e: Tensor, sum_et: Tensor, sum_ez: Tensor, sum_tz: Tensor,
            mean: Tensor, spread: Tensor, w: Tensor, positions: int,
            eps: float, normalize: bool) -> Tuple[Tensor, Tensor, Tensor]:
    """Return what e loses of itself and of t, and what every z gains.

    The last is the mean of delta times z: delta is w times the slope of t
    times (e - level - tilt * t).
    """
    if not normalize:
        zero = torch.zeros_like(sum_e)
        return zero, zero, w[:, None] * sum_ez / positions
    mu, s = spread.unbind(-1)
    is_flat = s <= 16 * torch.finfo(s.dtype).eps * mu
    slope = torch.where(is_flat, 0., 1 / (s + eps))
    level = sum_e / positions
    tilt = torch.where(is_flat, 0.,
                       sum_et / (max(positions - 1, 1) * s * slope))
    sum_z = positions * mean.view_as(sum_ez)
    share = (sum_ez - level[..., None] * sum_z - tilt[..., None] * sum_tz)
    return level, tilt, share * ((w * slope)[..., None] / positions)


def _cut(x: Tensor, groups: int) -> Tuple[tuple, tuple, dict]:
    """Return the grid, where values lie, and the sizes of blocks."""
    images, channels, height, width = x.shape
    c, positions = channels // groups, height * width
    block_c = triton.next_power_of_2(c)
    block_p = min(max(TILE // block_c, 16), triton.next_power_of_2(positions))
    # As many parts as keep the GPU busy, but no more than blocks.
    blocks = triton.cdiv(positions, block_p)
    parts = min(blocks, max(1, PROGRAMS // (images * groups)))
    chunk = triton.cdiv(blocks, parts) * block_p
    parts = triton.cdiv(positions, chunk)
    is_last = not x.is_contiguous()
    steps = ((channels * positions, 1, channels) if is_last else
             (channels * positions, positions, 1))
    return ((images * groups * parts, ), (parts, positions, groups, *steps),
            dict(c=c, BLOCK_C=block_c, BLOCK_P=block_p, CHUNK=chunk))


def _on(x: Tensor) -> object:
    """Launch on the GPU of a tensor; on the CPU the interpreter runs."""
    return torch.cuda.device(x.device if x.is_cuda else -1)
