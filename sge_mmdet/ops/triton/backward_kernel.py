r"""The backward pass, in two phases that a launch each runs.

Phase 0 makes the sums over a part of the positions that all gradients need,
phase 1 the gradient of x. With v = x less its first value, q the gate, g the
gradient of z * q and e as in :func:`sge_mmdet.ops.eager.backward`, the sums
are those of e, e t, t, e v and t v, and for a norm those of g q, g q v and v.
The gradients of the norm follow from these in closed form:

.. math::
    \delta &= k (e - \mathrm{level} - \mathrm{tilt}\, t) \\
    \sum \partial z &= \sum g q + m \sum \delta + P\, \mathrm{share} \\
    \sum \partial z\, v &= \sum g q v + m \sum \delta v
        + \mathrm{share} \sum v

A record has a row for each sum and a column for each channel; what is one
number a group is repeated.
"""

import triton
import triton.language as tl

from .tiles import (
    add_parts,
    apply_factor,
    fold,
    gate_of,
    load_norm,
    load_tile,
    place,
    slope_of,
    sum_groups,
    to_channels,
)

SIZES = ('phase', 'positions', 'parts', 'blocks', 'groups', 'images')


@triton.jit
def _load_grad(grad_y, y, at, tile, keep):
    """Return the gradient of z times the gate."""
    g = load_tile(grad_y, at, tile, keep)
    if y is not None:
        g = tl.where(load_tile(y, at, tile, keep) <= 0, 0.0, g)
    return g


@triton.jit
def _load_statistics(
    mean,
    spread,
    image,
    channel,
    groups,
    first_z,
    eps,
    c: tl.constexpr,
    BLOCK_C: tl.constexpr,
    LANES: tl.constexpr,
    NORMALIZE: tl.constexpr,
):
    """Return m, the deviation, the slope and the centred z by channel."""
    lane = tl.arange(0, LANES)
    m = tl.load(
        mean + image * groups * c + channel + lane,
        mask=lane < LANES // BLOCK_C * c,
        other=0.0,
    )
    at = (image * groups + channel // c + lane // BLOCK_C) * 2
    rest = tl.load(spread + at)
    deviation = tl.load(spread + at + 1)
    slope = slope_of(deviation, eps, NORMALIZE)
    centred = first_z
    if NORMALIZE:
        # So that the mean of t is 0 although m is rounded.
        centred = first_z - m - rest * m
    return m, deviation, slope, centred


@triton.jit
def _write_record(
    work,
    sum_e,
    sum_et,
    sum_t,
    sum_ev,
    sum_tv,
    sum_gq,
    sum_gqv,
    sum_v,
    scale,
    BLOCK_G: tl.constexpr,
    BLOCK_C: tl.constexpr,
    SPAN: tl.constexpr,
):
    """Write sums over the positions of accumulated tiles of ``SPAN``."""
    LANES: tl.constexpr = BLOCK_G * BLOCK_C
    of_channels = tl.zeros((LANES, SPAN), tl.float32)
    row = work + tl.arange(0, LANES)
    for total in tl.static_range(3):
        of_groups = sum_e if total == 0 else sum_et if total == 1 else sum_t
        tl.store(
            row + total * LANES,
            tl.sum(
                of_channels + to_channels(of_groups, BLOCK_G, BLOCK_C, SPAN),
                1,
            ),
        )
    tl.store(row + 3 * LANES, tl.sum(sum_ev, 1))
    tl.store(row + 4 * LANES, tl.sum(sum_tv, 1))
    if scale is not None:
        tl.store(row + 5 * LANES, tl.sum(sum_gq, 1))
        tl.store(row + 6 * LANES, tl.sum(sum_gqv, 1))
        tl.store(row + 7 * LANES, tl.sum(sum_v, 1))


@triton.jit
def _sums(
    grad_y,
    x,
    y,
    work,
    start,
    tile,
    step,
    rows,
    m,
    centred,
    slope,
    w,
    b,
    factor,
    first,
    first_z,
    scale,
    low,
    high,
    c: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
    FOLD: tl.constexpr,
    LAST: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Write the record of sums over blocks."""
    LANES: tl.constexpr = BLOCK_G * BLOCK_C
    SPAN: tl.constexpr = BLOCK_P // FOLD
    inside = tl.arange(0, LANES) < BLOCK_G * c
    local = tl.arange(0, BLOCK_P)
    sum_e = tl.zeros((BLOCK_G, SPAN), tl.float32)
    sum_et = tl.zeros((BLOCK_G, SPAN), tl.float32)
    sum_t = tl.zeros((BLOCK_G, SPAN), tl.float32)
    sum_ev = tl.zeros((LANES, SPAN), tl.float32)
    sum_tv = tl.zeros((LANES, SPAN), tl.float32)
    sum_gq = tl.zeros((LANES, SPAN), tl.float32)
    sum_gqv = tl.zeros((LANES, SPAN), tl.float32)
    sum_v = tl.zeros((LANES, SPAN), tl.float32)
    for block in tl.range(low, high, num_stages=STAGES):
        position = block * BLOCK_P
        at = start + position.to(tl.int64) * step
        within = (position + local < rows)[None, :]
        keep = inside[:, None] & within
        value = load_tile(x, at, tile, keep)
        g = _load_grad(grad_y, y, at, tile, keep)
        v, z, t, gate = gate_of(
            value,
            within,
            m,
            centred,
            slope,
            w,
            b,
            factor,
            first,
            first_z,
            scale,
            BLOCK_G,
            BLOCK_C,
            BLOCK_P,
        )
        e = sum_groups(g * z, BLOCK_G, BLOCK_C, BLOCK_P) * gate * (1 - gate)
        e = tl.where(within, e, 0.0)
        sum_e += fold(e, FOLD, LAST)
        sum_et += fold(e * t, FOLD, LAST)
        sum_t += fold(t, FOLD, LAST)
        sum_ev += fold(
            to_channels(e, BLOCK_G, BLOCK_C, BLOCK_P) * v, FOLD, LAST
        )
        sum_tv += fold(
            to_channels(t, BLOCK_G, BLOCK_C, BLOCK_P) * v, FOLD, LAST
        )
        if scale is not None:
            gq = g * to_channels(gate, BLOCK_G, BLOCK_C, BLOCK_P)
            sum_gq += fold(gq, FOLD, LAST)
            sum_gqv += fold(gq * v, FOLD, LAST)
            sum_v += fold(v, FOLD, LAST)
    _write_record(
        work,
        sum_e,
        sum_et,
        sum_t,
        sum_ev,
        sum_tv,
        sum_gq,
        sum_gqv,
        sum_v,
        scale,
        BLOCK_G,
        BLOCK_C,
        SPAN,
    )


@triton.jit
def _take_row(record, row: tl.constexpr, LANES: tl.constexpr):
    """Return a row of a record."""
    record = tl.reshape(record, (8, LANES))
    index = tl.arange(0, 8)[:, None]
    return tl.sum(tl.where(index == row, record, 0.0), 0)


@triton.jit
def _shares(
    record,
    centred,
    factor,
    deviation,
    slope,
    w,
    positions,
    LANES: tl.constexpr,
    NORMALIZE: tl.constexpr,
):
    """Return k, level, tilt and the share of each position, by channel.

    The level is the mean of e and the tilt the factor of t: both are
    subtracted from e, so that delta is k * (e - level - tilt * t). The share
    is the mean of delta times z, which is added to each gradient of z.
    """
    k = w * slope
    sum_e = _take_row(record, 0, LANES)
    share = factor * _take_row(record, 3, LANES) + centred * sum_e
    level = tl.zeros((LANES,), tl.float32)
    tilt = tl.zeros((LANES,), tl.float32)
    if NORMALIZE:
        level = sum_e / positions
        tilt = tl.where(
            slope > 0,
            _take_row(record, 1, LANES)
            / (tl.maximum(positions - 1, 1) * deviation * slope),
            0.0,
        )
        share -= tilt * (
            factor * _take_row(record, 4, LANES)
            + centred * _take_row(record, 2, LANES)
        )
    return k, level, tilt, share * (k / positions)


@triton.jit
def _write_maps(
    grad_y,
    x,
    y,
    grad_x,
    grad_identity,
    start,
    tile,
    step,
    rows,
    m,
    centred,
    slope,
    w,
    b,
    factor,
    first,
    first_z,
    scale,
    k,
    level,
    tilt,
    share,
    low,
    high,
    c: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Write the gradients of the maps over blocks, from last to first."""
    inside = tl.arange(0, BLOCK_G * BLOCK_C) < BLOCK_G * c
    local = tl.arange(0, BLOCK_P)
    for block in tl.range(low, high, num_stages=STAGES):
        # What was read last is likeliest to be in the cache.
        position = (low + high - 1 - block) * BLOCK_P
        at = start + position.to(tl.int64) * step
        within = (position + local < rows)[None, :]
        keep = inside[:, None] & within
        value = load_tile(x, at, tile, keep)
        g = _load_grad(grad_y, y, at, tile, keep)
        if y is not None:
            tl.store(
                grad_identity + at + tile,
                g.to(grad_y.dtype.element_ty),
                mask=keep,
            )
        _, z, t, gate = gate_of(
            value,
            within,
            m,
            centred,
            slope,
            w,
            b,
            factor,
            first,
            first_z,
            scale,
            BLOCK_G,
            BLOCK_C,
            BLOCK_P,
        )
        e = sum_groups(g * z, BLOCK_G, BLOCK_C, BLOCK_P) * gate * (1 - gate)
        delta = k[:, None] * (
            to_channels(e, BLOCK_G, BLOCK_C, BLOCK_P)
            - level[:, None]
            - tilt[:, None] * to_channels(t, BLOCK_G, BLOCK_C, BLOCK_P)
        )
        grad_z = (
            g * to_channels(gate, BLOCK_G, BLOCK_C, BLOCK_P)
            + m[:, None] * delta
            + share[:, None]
        )
        tl.store(
            grad_x + at + tile,
            apply_factor(grad_z, factor[:, None], scale).to(
                grad_x.dtype.element_ty
            ),
            mask=keep,
        )


@triton.jit
def _of_norm(
    record,
    m,
    centred,
    factor,
    deviation,
    slope,
    w,
    centre,
    inverse,
    first,
    positions,
    LANES: tl.constexpr,
    NORMALIZE: tl.constexpr,
):
    """Return the gradients of scale and shift of one image."""
    k, level, tilt, share = _shares(
        record,
        centred,
        factor,
        deviation,
        slope,
        w,
        positions,
        LANES,
        NORMALIZE,
    )
    sum_v = _take_row(record, 7, LANES)
    sum_delta = tl.zeros((LANES,), tl.float32)
    if not NORMALIZE:
        sum_delta = k * _take_row(record, 0, LANES)
    delta_v = k * (
        _take_row(record, 3, LANES)
        - level * sum_v
        - tilt * _take_row(record, 4, LANES)
    )
    of_shift = _take_row(record, 5, LANES) + m * sum_delta + positions * share
    of_v = _take_row(record, 6, LANES) + m * delta_v + share * sum_v
    return inverse * (of_v + (first - centre) * of_shift), of_shift


@triton.jit
def _write_parameters(
    x,
    weight,
    scale,
    shift,
    running_mean,
    running_var,
    mean,
    spread,
    work,
    grad_weight,
    grad_bias,
    grad_scale,
    grad_shift,
    positions,
    parts,
    groups,
    images,
    bundle,
    eps,
    norm_eps,
    c: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_C: tl.constexpr,
    V: tl.constexpr,
    LAST: tl.constexpr,
    NORMALIZE: tl.constexpr,
):
    """Write the gradients of the parameters, summed over the images."""
    LANES: tl.constexpr = BLOCK_G * BLOCK_C
    lane = tl.arange(0, LANES)
    of_weight = tl.zeros((LANES,), tl.float32)
    of_bias = tl.zeros((LANES,), tl.float32)
    of_scale = tl.zeros((LANES,), tl.float32)
    of_shift = tl.zeros((LANES,), tl.float32)
    for image in range(images):
        task = image * (groups // BLOCK_G) + bundle
        record = add_parts(work, task, parts, 8 * LANES)
        of_bias += _take_row(record, 0, LANES)
        of_weight += _take_row(record, 1, LANES)
        if scale is not None:
            _, channel, start, _, _, rows = place(
                task, positions, groups, c, BLOCK_G, BLOCK_C, 1, V, LAST
            )
            centre, inverse, factor, first, first_z = load_norm(
                x,
                start,
                scale,
                shift,
                running_mean,
                running_var,
                norm_eps,
                channel,
                rows,
                BLOCK_G * c,
                LANES,
                LAST,
            )
            m, deviation, slope, centred = _load_statistics(
                mean,
                spread,
                image,
                channel,
                groups,
                first_z,
                eps,
                c,
                BLOCK_C,
                LANES,
                NORMALIZE,
            )
            w = tl.load(weight + channel // c + lane // BLOCK_C).to(tl.float32)
            one, other = _of_norm(
                record,
                m,
                centred,
                factor,
                deviation,
                slope,
                w,
                centre,
                inverse,
                first,
                positions,
                LANES,
                NORMALIZE,
            )
            of_scale += one
            of_shift += other
    at = bundle * BLOCK_G + lane // BLOCK_C
    tl.store(grad_weight + at, of_weight, mask=lane % BLOCK_C == 0)
    tl.store(grad_bias + at, of_bias, mask=lane % BLOCK_C == 0)
    if scale is not None:
        at = bundle * (BLOCK_G * c) + lane
        tl.store(grad_scale + at, of_scale, mask=lane < BLOCK_G * c)
        if grad_shift is not None:
            tl.store(grad_shift + at, of_shift, mask=lane < BLOCK_G * c)


@triton.jit(do_not_specialize=SIZES)
def backward_kernel(
    grad_y,
    x,
    y,
    weight,
    bias,
    scale,
    shift,
    running_mean,
    running_var,
    mean,
    spread,
    work,
    grad_x,
    grad_weight,
    grad_bias,
    grad_scale,
    grad_shift,
    grad_identity,
    phase,
    positions,
    parts,
    blocks,
    groups,
    images,
    eps,
    norm_eps,
    c: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
    V: tl.constexpr,
    FOLD: tl.constexpr,
    LAST: tl.constexpr,
    NORMALIZE: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Run a phase of the backward pass; see the head of this file."""
    LANES: tl.constexpr = BLOCK_G * BLOCK_C
    program = tl.program_id(0)
    task = program // parts
    part = program % parts
    image, channel, start, tile, step, rows = place(
        task, positions, groups, c, BLOCK_G, BLOCK_C, BLOCK_P, V, LAST
    )
    _, _, factor, first, first_z = load_norm(
        x,
        start,
        scale,
        shift,
        running_mean,
        running_var,
        norm_eps,
        channel,
        rows,
        BLOCK_G * c,
        LANES,
        LAST,
    )
    m, deviation, slope, centred = _load_statistics(
        mean,
        spread,
        image,
        channel,
        groups,
        first_z,
        eps,
        c,
        BLOCK_C,
        LANES,
        NORMALIZE,
    )
    group = channel // c
    of_groups = group + tl.arange(0, BLOCK_G)
    w = tl.load(weight + of_groups).to(tl.float32)
    b = tl.load(bias + of_groups).to(tl.float32)
    at = (image * groups + of_groups) * 2
    slope_of_groups = slope_of(tl.load(spread + at + 1), eps, NORMALIZE)
    low = part * blocks
    high = tl.minimum(low + blocks, tl.cdiv(positions, BLOCK_P))
    if phase == 0:
        _sums(
            grad_y,
            x,
            y,
            work + program * (8 * LANES),
            start,
            tile,
            step,
            rows,
            m,
            centred,
            slope_of_groups,
            w,
            b,
            factor,
            first,
            first_z,
            scale,
            low,
            high,
            c,
            BLOCK_G,
            BLOCK_C,
            BLOCK_P,
            FOLD,
            LAST,
            STAGES,
        )
    else:
        record = add_parts(work, task, parts, 8 * LANES)
        of_channels = tl.load(
            weight + group + tl.arange(0, LANES) // BLOCK_C
        ).to(tl.float32)
        k, level, tilt, share = _shares(
            record,
            centred,
            factor,
            deviation,
            slope,
            of_channels,
            positions,
            LANES,
            NORMALIZE,
        )
        _write_maps(
            grad_y,
            x,
            y,
            grad_x,
            grad_identity,
            start,
            tile,
            step,
            rows,
            m,
            centred,
            slope_of_groups,
            w,
            b,
            factor,
            first,
            first_z,
            scale,
            k,
            level,
            tilt,
            share,
            low,
            high,
            c,
            BLOCK_G,
            BLOCK_C,
            BLOCK_P,
            STAGES,
        )
        if (image == 0) & (part == 0):
            _write_parameters(
                x,
                weight,
                scale,
                shift,
                running_mean,
                running_var,
                mean,
                spread,
                work,
                grad_weight,
                grad_bias,
                grad_scale,
                grad_shift,
                positions,
                parts,
                groups,
                images,
                group // BLOCK_G,
                eps,
                norm_eps,
                c,
                BLOCK_G,
                BLOCK_C,
                V,
                LAST,
                NORMALIZE,
            )
