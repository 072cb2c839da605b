"""The forward pass, in phases that one launch runs or several.

Phase 0 sums z over a part of the positions, phase 1 the squares of the centred
similarity, and phase 2 makes the result. A phase begins when every part of a
group has ended the one before: each is a launch, or there is one part.
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
    sum_channels,
    sum_groups,
    to_channels,
    without_noise,
)

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
):
    """Sum z less its first value over blocks."""
    LANES: tl.constexpr = BLOCK_G * BLOCK_C
    inside = tl.arange(0, LANES) < BLOCK_G * c
    local = tl.arange(0, BLOCK_P)
    total = tl.zeros((LANES, BLOCK_P // FOLD), tl.float32)
    for block in range(low, high):
        position = block * BLOCK_P
        keep = inside[:, None] & (position + local < rows)[None, :]
        value = load_tile(x, start + position.to(tl.int64) * step, tile, keep)
        u = apply_factor(value - first[:, None], factor[:, None], scale)
        total += fold(tl.where(keep, u, 0.0), FOLD, LAST)
    return tl.sum(total, 1)


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
        # From first to last again: the squares were read backwards.
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
):
    """Write the statistics and the result."""
    mu = tl.zeros((BLOCK_G,), tl.float32)
    deviation = tl.zeros((BLOCK_G,), tl.float32)
    if NORMALIZE:
        mu = sum_channels(m * m, BLOCK_G, BLOCK_C)
        total = add_parts(second, task, parts, BLOCK_G)
        deviation = without_noise(
            tl.sqrt(total / tl.maximum(positions - 1, 1)), mu
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
        # The mean of z - m is what rounding took from m. Without
        # normalisation mu is 0, and so is what is stored.
        level = sum_channels(m * (first_z - m + mean_u), BLOCK_G, BLOCK_C)
        has_rest = (mu > 0) & (mu < float('inf'))
        tl.store(spread + at, tl.where(has_rest, level / mu, 0.0))
        tl.store(spread + at + 1, deviation)
    slope = slope_of(deviation, eps, NORMALIZE)
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
):
    """Run phases of the forward pass; see the head of this file."""
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
    # The second sums stand behind the first ones of all programs.
    second = work + tl.num_programs(0) * LANES
    low = part * blocks
    high = tl.minimum(low + blocks, tl.cdiv(positions, BLOCK_P))
    lane = tl.arange(0, LANES)
    if first_phase == 0:
        sums = _sums(
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
        )
        tl.store(work + program * LANES + lane, sums)
    # Other threads will read what each thread wrote.
    tl.debug_barrier()
    if last_phase > 0:
        mean_u = add_parts(work, task, parts, LANES) / positions
        m = first_z + mean_u
        if NORMALIZE:
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
                tl.store(
                    second + program * BLOCK_G + tl.arange(0, BLOCK_G), squares
                )
            tl.debug_barrier()
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
            )
