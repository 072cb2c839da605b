"""What both kernels do with a tile: where it lies, its norm, its groups.

A program handles ``BLOCK_G`` groups of ``BLOCK_C`` channels (c, rounded up to
a power of two) of an image, ``BLOCK_P`` positions at a time. A tile has the
shape (``BLOCK_G * BLOCK_C``, ``BLOCK_P``). More than one group stands in it
only in channels-last, where a group's channels alone would be too few for a
wide load, and only where c is a power of two.
"""

import triton
import triton.language as tl


@triton.jit
def place(
    task,
    positions,
    groups,
    c: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
    V: tl.constexpr,
    LAST: tl.constexpr,
):
    """Return where the maps of a task lie.

    These are the image, the first channel, the offset of the first value, a
    tile's offsets, the step from one position to the next, and the number of
    positions, promised to be a multiple of V.
    """
    bundles = groups // BLOCK_G
    image = task // bundles
    channel = task % bundles * (BLOCK_G * c)
    lane = tl.arange(0, BLOCK_G * BLOCK_C)
    local = tl.arange(0, BLOCK_P)
    channels = bundles * (BLOCK_G * c)
    rows = positions // V * V
    if LAST:
        start = image.to(tl.int64) * positions * channels + channel
        tile = lane[:, None] + local[None, :] * channels
        step = channels
    else:
        start = (image.to(tl.int64) * channels + channel) * rows
        tile = lane[:, None] * rows + local[None, :]
        step = 1
    return image, channel, start, tile, step, rows


@triton.jit
def load_norm(
    x,
    start,
    scale,
    shift,
    running_mean,
    running_var,
    norm_eps,
    channel,
    rows,
    c: tl.constexpr,
    LANES: tl.constexpr,
    LAST: tl.constexpr,
):
    """Return a norm's vectors, x at the first position, and z there.

    These are its mean, the inverse of its deviation, and its scale times that
    inverse, which is what a difference of x is multiplied by. Sums are taken
    relative to the first position, so that of a constant nothing is left;
    where that is not finite, relative to 0, since a difference of infinities
    is NaN.
    """
    lane = tl.arange(0, LANES)
    inside = lane < c
    row = lane if LAST else lane * rows
    first = tl.load(x + start + row, mask=inside, other=0.0).to(tl.float32)
    first = tl.where(tl.abs(first) < float('inf'), first, 0.0)
    centre = tl.zeros((LANES,), tl.float32)
    offset = tl.zeros((LANES,), tl.float32)
    inverse = tl.full((LANES,), 1.0, tl.float32)
    factor = tl.full((LANES,), 1.0, tl.float32)
    at = channel + lane
    if running_mean is not None:
        centre = tl.load(running_mean + at, mask=inside, other=0.0).to(
            tl.float32
        )
        variance = tl.load(running_var + at, mask=inside, other=1.0).to(
            tl.float32
        )
        inverse = 1 / tl.sqrt(variance + norm_eps)
    if scale is not None:
        factor = (
            tl.load(scale + at, mask=inside, other=0.0).to(tl.float32)
            * inverse
        )
    if shift is not None:
        offset = tl.load(shift + at, mask=inside, other=0.0).to(tl.float32)
    return centre, inverse, factor, first, (first - centre) * factor + offset


@triton.jit
def apply_factor(value, factor, scale):
    """Convert a difference of values of x to the difference of z."""
    if scale is not None:
        value = value * factor
    return value


@triton.jit
def load_tile(maps, at, tile, keep):
    """Return a tile in float32; 0 outside the map."""
    return tl.load(maps + at + tile, mask=keep, other=0.0).to(tl.float32)


@triton.jit
def sum_groups(
    tile, BLOCK_G: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr
):
    """Sum a tile over the channels of each group."""
    if BLOCK_G == 1:
        total = tl.sum(tile, 0)[None, :]
    else:
        total = tl.sum(tl.reshape(tile, (BLOCK_G, BLOCK_C, BLOCK_P)), 1)
    return total


@triton.jit
def to_channels(
    tile, BLOCK_G: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr
):
    """Broadcast a value of each group to the channels of the group."""
    if BLOCK_G > 1:
        tile = tl.reshape(
            tl.broadcast_to(tile[:, None, :], (BLOCK_G, BLOCK_C, BLOCK_P)),
            (BLOCK_G * BLOCK_C, BLOCK_P),
        )
    return tile


@triton.jit
def fold(tile, FOLD: tl.constexpr, LAST: tl.constexpr):
    """Sum a tile over the ``FOLD`` positions that one thread holds.

    In NCHW they lie side by side; in channels-last threads take turns.
    """
    SPAN: tl.constexpr = tile.shape[1] // FOLD
    if FOLD > 1:
        if LAST:
            tile = tl.sum(tl.reshape(tile, (tile.shape[0], FOLD, SPAN)), 1)
        else:
            tile = tl.sum(tl.reshape(tile, (tile.shape[0], SPAN, FOLD)), 2)
    return tile


@triton.jit
def gate_of(
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
    BLOCK_G: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    """Return v and z of a tile, t and the gate; 0 outside the map but z.

    ``centred`` is what z at the first position is centred to.
    """
    v = tl.where(within, value - first[:, None], 0.0)
    u = apply_factor(v, factor[:, None], scale)
    z = value
    if scale is not None:
        z = u + first_z[:, None]
    d = m[:, None] * (u + centred[:, None])
    t = sum_groups(d, BLOCK_G, BLOCK_C, BLOCK_P) * slope[:, None]
    # Outside the map, the gate of an infinite w would be NaN.
    t = tl.where(within, t, 0.0)
    gate = tl.where(within, tl.sigmoid(w[:, None] * t + b[:, None]), 0.0)
    return v, z, t, gate


@triton.jit
def sum_channels(vector, BLOCK_G: tl.constexpr, BLOCK_C: tl.constexpr):
    """Sum a vector over the channels of each group."""
    return tl.sum(tl.reshape(vector, (BLOCK_G, BLOCK_C)), 1)


@triton.jit
def add_parts(work, task, parts, WIDTH: tl.constexpr):
    """Add up the records of a task's parts, in a fixed order."""
    ROWS: tl.constexpr = (
        16 if WIDTH <= 128 else (2048 // WIDTH if WIDTH < 2048 else 1)
    )
    row = tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    total = tl.zeros((ROWS, WIDTH), tl.float32)
    for i in range(0, parts, ROWS):
        at = (task * parts + i + row)[:, None] * WIDTH + column[None, :]
        # Each is read once, so that the first cache need not keep it.
        total += tl.load(
            work + at,
            mask=(i + row < parts)[:, None],
            other=0.0,
            cache_modifier='.cg',
        )
    return tl.sum(total, 0)


@triton.jit
def without_noise(deviation, mu):
    """Return a deviation of d, or 0 where rounding may have made it.

    The reason stands at :func:`sge_mmdet.ops.reference.noise_level`.
    """
    # The machine epsilon of float32 to the power of 1.5.
    return tl.where(deviation <= 4.1159031748919956e-11 * mu, 0.0, deviation)


@triton.jit
def slope_of(deviation, eps, NORMALIZE: tl.constexpr):
    """Return the factor that turns the centred d into t."""
    slope = tl.full(deviation.shape, 1.0, tl.float32)
    if NORMALIZE:
        slope = tl.where(deviation <= 0, 0.0, 1 / (deviation + eps))
    return slope
