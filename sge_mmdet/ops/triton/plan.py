"""How the work of a pass is cut into programs; decided on the host.

What a kernel is compiled for depends on the type, the layout, c and the
alignment of a map's rows, never on the size of a map.
"""

from functools import lru_cache
from typing import Any, Dict, NamedTuple, Tuple

import torch
from torch import Tensor

# Values that a warp holds at a time, 16 a thread, beside its sums. Up to MANY
# channels a group, a program is one warp, so that no warp waits for another
# when channels are summed.
TILE = 512
FEW, MANY = 16, 32
# Warps that share such a tile in a backward pass over NCHW from FEW to MANY
# channels: with a norm, one warp has no registers for the sums of them all.
WARPS_WITH_NORM = 2
# Programs of one warp that a multiprocessor of an H100 or H200 holds at a
# time, so that a launch is one wave of them; and those of a forward pass over
# NCHW up to FEW channels, which needs fewer registers.
# tools/benchmark/tiles.py tries other numbers.
PROGRAMS, MORE_PROGRAMS = 16, 20
# Those that a multiprocessor of an H100 or H200 could hold, had they the
# registers.
HELD = 32
# Multiprocessors of the GPU that the numbers of this file were measured on.
PROCESSORS = 132
# Tiles of a backward pass under way to a program at a time.
STAGES = 2
# Numbers that a program adds up at most when it begins.
RECORDS = 8192
# Positions that a thread loads at once in NCHW, and adds up.
WIDE = 4
# Channels that lie side by side in channels-last.
SIDE_BY_SIDE = 16
# Registers of a multiprocessor for each of the 32 threads of a warp.
REGISTERS = 2048
# Channels of a group that a tile can hold.
MOST = 256


class Plan(NamedTuple):
    """How a pass is cut.

    Attributes:
        grid: Number of programs, as a launch takes it.
        sizes: Positions, parts of a task, blocks of a part and groups.
        constants: What the kernel is compiled for.
        work: Size of the workspace, in numbers.
        launches: First and last phase of each launch.
    """

    grid: Tuple[int]
    sizes: Tuple[int, int, int, int]
    constants: Dict[str, Any]
    work: int
    launches: Tuple[Tuple[int, int], ...]


def takes(x: Tensor, groups: int) -> bool:
    """Return whether the kernels take a map.

    They hold all channels of a group at a time, and count values within a
    group up to the end of its last tile, those between the positions of a
    tile in channels-last, and sums of all groups, in 32 bits.

    Args:
        x: Feature map of shape (N, C, H, W).
        groups: Number of groups.
    """
    images, channels, height, width = x.shape
    c = channels // groups
    return (
        c <= MOST
        and c * height * width <= 2**31 - TILE
        and images * channels < 2**26
        and channels * TILE < 2**31
        and x.dtype != torch.float64
    )


@lru_cache(maxsize=4096)
def forward_plan(
    shape: Tuple[int, ...],
    groups: int,
    item: int,
    last: bool,
    normalize: bool,
    processors: int = PROCESSORS,
    held: int = HELD,
) -> Plan:
    """Return how a forward pass is cut.

    It is one launch where a task is one part; otherwise each phase has one,
    and phase 1 none where nothing is normalised.

    Args:
        shape: Shape of the map, (N, C, H, W).
        groups: Number of groups.
        item: Bytes of a value.
        last: Whether the layout is channels-last.
        normalize: Whether the similarity is normalised.
        processors: Multiprocessors of the GPU.
        held: Programs of one warp that a multiprocessor can hold at a time.
    """
    has_few = not last and shape[1] // groups <= FEW
    programs = min(MORE_PROGRAMS, held) if has_few else PROGRAMS
    tile = _tile(shape, groups, item, last, programs)
    lanes = tile['BLOCK_G'] * tile['BLOCK_C']
    # A sum of each channel, and one of each group.
    width = lanes + tile['BLOCK_G']
    tasks, parts, blocks = _parts(
        shape, groups, tile, width, programs * processors
    )
    tile.update(NORMALIZE=normalize)
    phases = (0, 1, 2) if normalize else (0, 2)
    launches = tuple((phase, phase) for phase in phases)
    return Plan(
        (tasks * parts,),
        (shape[2] * shape[3], parts, blocks, groups),
        tile,
        tasks * parts * width,
        ((0, 2),) if parts == 1 else launches,
    )


@lru_cache(maxsize=4096)
def backward_plan(
    shape: Tuple[int, ...],
    groups: int,
    item: int,
    last: bool,
    normalize: bool,
    has_norm: bool,
    processors: int = PROCESSORS,
) -> Plan:
    """Return how a backward pass is cut; arguments as above.

    ``has_norm`` is whether a norm or a scale comes before SGE.
    """
    tile = _tile(shape, groups, item, last, PROGRAMS)
    if has_norm and not last and FEW < shape[1] // groups <= MANY:
        tile['num_warps'] *= WARPS_WITH_NORM
    # Eight sums of each channel.
    width = 8 * tile['BLOCK_G'] * tile['BLOCK_C']
    tasks, parts, blocks = _parts(
        shape, groups, tile, width, PROGRAMS * processors
    )
    tile.update(NORMALIZE=normalize, STAGES=STAGES)
    return Plan(
        (tasks * parts,),
        (shape[2] * shape[3], parts, blocks, groups),
        tile,
        tasks * parts * width,
        ((0, 0), (1, 1)),
    )


def _tile(
    shape: Tuple[int, ...],
    groups: int,
    item: int,
    last: bool,
    programs: int,
) -> Dict[str, Any]:
    """Return the sizes of a tile, which layout and alignment decide.

    The last argument is how many warps share the registers of a
    multiprocessor.
    """
    c, positions = shape[1] // groups, shape[2] * shape[3]
    block_c = 1 << (c - 1).bit_length()
    together = align = 1
    if last:
        # Threads take turns with positions; a load is 16 bytes of channels.
        fold = item
        if c == block_c:
            together = _power_of_two(groups, max(SIDE_BY_SIDE // c, 1))
    else:
        fold = align = _power_of_two(positions, WIDE)
    block = max(TILE // (together * block_c), 16)
    return dict(
        c=c,
        BLOCK_G=together,
        BLOCK_C=block_c,
        BLOCK_P=block,
        V=align,
        FOLD=fold,
        LAST=last,
        num_warps=max(together * block_c * block // TILE, 1),
        # Registers are given to a thread by eights.
        maxnreg=REGISTERS // programs // 8 * 8,
    )


def _power_of_two(number: int, most: int) -> int:
    """Return the largest power of two up to ``most`` that divides it."""
    return min(number & -number, most)


def _parts(
    shape: Tuple[int, ...],
    groups: int,
    tile: Dict[str, Any],
    width: int,
    programs: int,
) -> Tuple[int, int, int]:
    """Return the number of tasks, of parts of one, and of blocks of a part.

    The last arguments are how many sums a part leaves, and how many programs
    of one warp the GPU holds at a time.
    """
    tasks = shape[0] * groups // tile['BLOCK_G']
    parts = max(1, min(programs // tasks, RECORDS // width))
    all_blocks = -(-shape[2] * shape[3] // tile['BLOCK_P'])
    blocks = -(-all_blocks // parts)
    return tasks, -(-all_blocks // blocks), blocks
