"""The forward pass, in phases that one launch runs or several.

Phase 0 sums z over a part of the positions, and for few channels also the
products of channels; phase 1 sums the squares of the centred similarity; phase
2 makes the result. Between phases every part of a group has to be done: by
another launch, or because there is one part, or by waiting. Phase 1 never has
a launch of its own, but for a test of the interpreter, which cannot wait.

With m the mean of z, the variance of m . z is m' C m, where C is the
covariance of the channels. For up to ``FEW`` channels phase 0 has all that it
needs, and phase 1 falls away. Where the spread along m is so small beside that
across it that rounding of C would show, the group is read again.
"""

import triton
import triton.language as tl

from .tiles import (
    add_parts,
    apply_factor,
    diagonal_blocks,
    fold,
    gate_of,
    load_norm,
    load_tile,
    place,
    products_of_channels,
    slope_of,
    sum_channels,
    sum_groups,
    to_channels,
)
from .waiting import take_ticket, wait_for_parts

SIZES = ('first_phase', 'last_phase', 'positions', 'parts', 'blocks', 'groups')


@triton.jit
def _sums(
    x,
    start,
    tile,
    step,
    rows,
    factor,
    first,
    scale,
    low,
    high,
    c: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
    FOLD: tl.constexpr,
    LAST: tl.constexpr,
    MOMENTS: tl.constexpr,
    MATRIX: tl.constexpr,
):
    """Sum z less its first value over blocks, and products of channels."""
    LANES: tl.constexpr = BLOCK_G * BLOCK_C
    SPAN: tl.constexpr = BLOCK_P // FOLD
    inside = tl.arange(0, LANES) < BLOCK_G * c
    local = tl.arange(0, BLOCK_P)
    total = tl.zeros((LANES, SPAN), tl.float32)
    PRODUCTS: tl.constexpr = BLOCK_C if MOMENTS else 1
    DEPTH: tl.constexpr = SPAN if MOMENTS and not MATRIX else 1
    WIDTH: tl.constexpr = LANES if MATRIX else 1
    products = tl.zeros((PRODUCTS, LANES, DEPTH), tl.float32)
    matrix = tl.zeros((WIDTH, WIDTH), tl.float32)
    for block in range(low, high):
        position = block * BLOCK_P
        keep = inside[:, None] & (position + local < rows)[None, :]
        value = load_tile(x, start + position.to(tl.int64) * step, tile, keep)
        u = apply_factor(value - first[:, None], factor[:, None], scale)
        u = tl.where(keep, u, 0.0)
        total += fold(u, FOLD, LAST)
        if MATRIX:
            matrix = tl.dot(u, tl.trans(u), matrix, input_precision='tf32x3')
        elif MOMENTS:
            products += products_of_channels(
                u, BLOCK_G, BLOCK_C, BLOCK_P, FOLD, LAST
            )
    products = tl.sum(products, 2)
    if MATRIX:
        products = diagonal_blocks(matrix, BLOCK_G, BLOCK_C)
    return tl.sum(total, 1), products


@triton.jit
def _squares(
    x,
    start,
    tile,
    step,
    rows,
    factor,
    first,
    scale,
    mean_u,
    m,
    low,
    high,
    c: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    """Sum the squares of d less its mean over blocks, from last to first."""
    inside = tl.arange(0, BLOCK_G * BLOCK_C) < BLOCK_G * c
    local = tl.arange(0, BLOCK_P)
    total = tl.zeros((BLOCK_G, BLOCK_P), tl.float32)
    for block in range(low, high):
        # What was read last is likeliest to be in the cache.
        position = (low + high - 1 - block) * BLOCK_P
        within = (position + local < rows)[None, :]
        value = load_tile(
            x,
            start + position.to(tl.int64) * step,
            tile,
            inside[:, None] & within,
        )
        u = apply_factor(value - first[:, None], factor[:, None], scale)
        d = sum_groups(
            m[:, None] * (u - mean_u[:, None]), BLOCK_G, BLOCK_C, BLOCK_P
        )
        d = tl.where(within, d, 0.0)
        total += d * d
    return tl.sum(total, 1)


@triton.jit
def _squares_of_moments(
    products,
    mean_u,
    m,
    positions,
    c: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Return the sum of squares from products, and whether it is accurate."""
    products = tl.reshape(products, (BLOCK_C, BLOCK_G, BLOCK_C))
    of_group = tl.reshape(m, (BLOCK_G, BLOCK_C))
    along = tl.sum(
        tl.sum(products * of_group[None, :, :], 2) * tl.trans(of_group), 0
    )
    shift = sum_channels(m * mean_u, BLOCK_G, BLOCK_C)
    total = along - positions * shift * shift
    index = tl.arange(0, BLOCK_C)
    is_square = index[:, None, None] == index[None, None, :]
    trace = tl.sum(tl.sum(tl.where(is_square, products, 0.0), 2), 0)
    floor = 0.01 / c * trace * sum_channels(m * m, BLOCK_G, BLOCK_C)
    # NaN, as of an overflow, is not trusted either.
    return total, total >= floor


@triton.jit
def _result(
    x,
    weight,
    bias,
    identity,
    y,
    start,
    tile,
    step,
    rows,
    factor,
    first,
    first_z,
    scale,
    mean_u,
    m,
    slope,
    group,
    low,
    high,
    c: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
    NORMALIZE: tl.constexpr,
    MOMENTS: tl.constexpr,
):
    """Write the result over blocks."""
    inside = tl.arange(0, BLOCK_G * BLOCK_C) < BLOCK_G * c
    local = tl.arange(0, BLOCK_P)
    of_groups = group + tl.arange(0, BLOCK_G)
    w = tl.load(weight + of_groups).to(tl.float32)
    b = tl.load(bias + of_groups).to(tl.float32)
    centred = first_z
    if NORMALIZE:
        centred = -mean_u
    for block in range(low, high):
        # What was read last is likeliest to be in the cache.
        if MOMENTS:
            position = (low + high - 1 - block) * BLOCK_P
        else:
            position = block * BLOCK_P
        at = start + position.to(tl.int64) * step
        within = (position + local < rows)[None, :]
        keep = inside[:, None] & within
        value = load_tile(x, at, tile, keep)
        _, z, _, gate = gate_of(
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
        out = z * to_channels(gate, BLOCK_G, BLOCK_C, BLOCK_P)
        if identity is not None:
            out += load_tile(identity, at, tile, keep)
            out = tl.where(out < 0, 0.0, out)
        tl.store(y + at + tile, out.to(y.dtype.element_ty), mask=keep)


@triton.jit
def _deviation(
    x,
    second,
    start,
    tile,
    step,
    rows,
    factor,
    first,
    scale,
    mean_u,
    m,
    task,
    parts,
    positions,
    c: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
    MOMENTS: tl.constexpr,
):
    """Return the standard deviation of d from the second sums."""
    if MOMENTS:
        products = add_parts(second, task, parts, BLOCK_G * BLOCK_C * BLOCK_C)
        total, trusted = _squares_of_moments(
            products, mean_u, m, positions, c, BLOCK_G, BLOCK_C
        )
        if tl.min(trusted.to(tl.int32), 0) == 0:
            again = _squares(
                x,
                start,
                tile,
                step,
                rows,
                factor,
                first,
                scale,
                mean_u,
                m,
                0,
                tl.cdiv(positions, BLOCK_P),
                c,
                BLOCK_G,
                BLOCK_C,
                BLOCK_P,
            )
            total = tl.where(trusted, total, again)
    else:
        total = add_parts(second, task, parts, BLOCK_G)
    return tl.sqrt(total / tl.maximum(positions - 1, 1))


@triton.jit
def _finish(
    x,
    weight,
    bias,
    identity,
    y,
    mean,
    spread,
    second,
    image,
    channel,
    start,
    tile,
    step,
    rows,
    factor,
    first,
    first_z,
    scale,
    mean_u,
    m,
    task,
    parts,
    part,
    low,
    high,
    positions,
    groups,
    eps,
    c: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
    NORMALIZE: tl.constexpr,
    MOMENTS: tl.constexpr,
):
    """Write the statistics and the result."""
    mu = tl.zeros((BLOCK_G,), tl.float32)
    deviation = tl.zeros((BLOCK_G,), tl.float32)
    if NORMALIZE:
        mu = sum_channels(m * m, BLOCK_G, BLOCK_C)
        deviation = _deviation(
            x,
            second,
            start,
            tile,
            step,
            rows,
            factor,
            first,
            scale,
            mean_u,
            m,
            task,
            parts,
            positions,
            c,
            BLOCK_G,
            BLOCK_C,
            BLOCK_P,
            MOMENTS,
        )
    group = channel // c
    if part == 0:
        lane = tl.arange(0, BLOCK_G * BLOCK_C)
        tl.store(
            mean + image * groups * c + channel + lane,
            m,
            mask=lane < BLOCK_G * c,
        )
        at = (image * groups + group + tl.arange(0, BLOCK_G)) * 2
        tl.store(spread + at, mu)
        tl.store(spread + at + 1, deviation)
    slope = slope_of(mu, deviation, eps, NORMALIZE)
    _result(
        x,
        weight,
        bias,
        identity,
        y,
        start,
        tile,
        step,
        rows,
        factor,
        first,
        first_z,
        scale,
        mean_u,
        m,
        slope,
        group,
        low,
        high,
        c,
        BLOCK_G,
        BLOCK_C,
        BLOCK_P,
        NORMALIZE,
        MOMENTS,
    )


@triton.jit(do_not_specialize=SIZES)
def forward_kernel(
    x,
    weight,
    bias,
    scale,
    shift,
    running_mean,
    running_var,
    identity,
    y,
    mean,
    spread,
    work,
    turns,
    first_phase,
    last_phase,
    positions,
    parts,
    blocks,
    groups,
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
    MOMENTS: tl.constexpr,
    MATRIX: tl.constexpr,
    WAIT: tl.constexpr,
):
    """Run phases of the forward pass; see the head of this file."""
    LANES: tl.constexpr = BLOCK_G * BLOCK_C
    WIDTH: tl.constexpr = LANES * BLOCK_C if MOMENTS else BLOCK_G
    program = take_ticket(turns, WAIT)
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
    # The second sums stand behind the first ones of all programs.
    second = work + tl.num_programs(0) * LANES
    low = part * blocks
    high = tl.minimum(low + blocks, tl.cdiv(positions, BLOCK_P))
    lane = tl.arange(0, LANES)
    of_width = tl.arange(0, WIDTH)
    if first_phase == 0:
        sums, products = _sums(
            x,
            start,
            tile,
            step,
            rows,
            factor,
            first,
            scale,
            low,
            high,
            c,
            BLOCK_G,
            BLOCK_C,
            BLOCK_P,
            FOLD,
            LAST,
            MOMENTS,
            MATRIX,
        )
        tl.store(work + program * LANES + lane, sums)
        if MOMENTS:
            tl.store(
                second + program * WIDTH + of_width,
                tl.reshape(products, (WIDTH,)),
            )
    wait_for_parts(turns, task, parts, part, WAIT)
    if last_phase > 0:
        mean_u = add_parts(work, task, parts, LANES) / positions
        m = first_z + mean_u
        if NORMALIZE and not MOMENTS:
            if first_phase <= 1:
                squares = _squares(
                    x,
                    start,
                    tile,
                    step,
                    rows,
                    factor,
                    first,
                    scale,
                    mean_u,
                    m,
                    low,
                    high,
                    c,
                    BLOCK_G,
                    BLOCK_C,
                    BLOCK_P,
                )
                tl.store(second + program * WIDTH + of_width, squares)
            wait_for_parts(turns, task, parts, part, WAIT)
        if last_phase == 2:
            _finish(
                x,
                weight,
                bias,
                identity,
                y,
                mean,
                spread,
                second,
                image,
                channel,
                start,
                tile,
                step,
                rows,
                factor,
                first,
                first_z,
                scale,
                mean_u,
                m,
                task,
                parts,
                part,
                low,
                high,
                positions,
                groups,
                eps,
                c,
                BLOCK_G,
                BLOCK_C,
                BLOCK_P,
                NORMALIZE,
                MOMENTS,
            )
