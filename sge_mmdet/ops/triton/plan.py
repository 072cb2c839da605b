"""How the work of a pass is cut into programs; decided on the host.

What a kernel is compiled for depends on the type, the layout, c and the
alignment of a map's rows, never on the size of a map.
"""

from functools import lru_cache
from typing import Any, Dict, NamedTuple, Tuple

import torch
from torch import Tensor

# Values that a program holds at a time, and its warps, by pass;
# tools/benchmark/tiles.py tries others.
FORWARD_TILE, BACKWARD_TILE = 2048, 1024
FORWARD_WARPS, BACKWARD_WARPS = 4, 4
# Programs that keep a GPU busy; fewer in channels-last, where the parts of a
# task are many and each program adds all of them up.
PROGRAMS, PROGRAMS_LAST = 1024, 512
# Widest load, and what lies side by side in channels-last, in bytes.
LOAD, SIDE_BY_SIDE, SECTOR = 16, 128, 32
# Up to so many channels the products of channels replace a read.
FEW = 8
# Twice the products of channels that a program holds at a time, in NCHW.
PRODUCTS = 8192
# Registers of a thread, so that several programs fit into a processor.
REGISTERS = 128
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
    group, and sums of all groups, in 32 bits.

    Args:
        x: Feature map of shape (N, C, H, W).
        groups: Number of groups.
    """
    images, channels, height, width = x.shape
    c = channels // groups
    return (
        c <= MOST
        and c * height * width < 2**31
        and images * channels < 2**26
        and x.dtype != torch.float64
    )


@lru_cache(maxsize=4096)
def forward_plan(
    shape: Tuple[int, ...],
    groups: int,
    item: int,
    last: bool,
    normalize: bool,
    wait: int = 1,
) -> Plan:
    """Return how a forward pass is cut.

    It is one launch where a task is one part or its parts wait for each
    other, and otherwise two. A group whose second moments need a read of
    their own has no third one: without waiting it is one part.

    Args:
        shape: Shape of the map, (N, C, H, W).
        groups: Number of groups.
        item: Bytes of a value.
        last: Whether the layout is channels-last.
        normalize: Whether the similarity is normalised.
        wait: Parts of a task that may wait for each other.
    """
    c = shape[1] // groups
    # A wide load of halves in channels-last gives each thread eight channels,
    # and so 64 products; they do not fit its registers.
    moments = normalize and c <= (FEW // 2 if last and item == 2 else FEW)
    tile = _tile(
        shape, groups, item, last, SIDE_BY_SIDE if moments else SECTOR
    )
    lanes = tile['BLOCK_G'] * tile['BLOCK_C']
    size = FORWARD_TILE
    if moments:
        size = min(size, PRODUCTS // (1 + last) // tile['BLOCK_C'])
    tasks = shape[0] * groups // tile['BLOCK_G']
    reads_squares = normalize and not moments
    if reads_squares and wait == 1:
        size *= 4
    block = max(size // lanes, 16)
    programs = PROGRAMS_LAST if last else PROGRAMS
    if reads_squares:
        programs = min(programs, tasks * wait)
    parts, blocks = _parts(shape, tasks, block, programs)
    tile.update(
        BLOCK_P=block,
        NORMALIZE=normalize,
        MOMENTS=moments,
        WAIT=1 < parts <= wait,
        num_warps=_warps(lanes * block, FORWARD_TILE, FORWARD_WARPS),
        maxnreg=REGISTERS,
    )
    width = lanes * tile['BLOCK_C'] if moments else tile['BLOCK_G']
    launches = ((0, 2),) if parts <= wait else ((0, 0), (2, 2))
    return Plan(
        (tasks * parts,),
        (shape[2] * shape[3], parts, blocks, groups),
        tile,
        tasks * parts * (lanes + width),
        launches,
    )


@lru_cache(maxsize=4096)
def backward_plan(
    shape: Tuple[int, ...], groups: int, item: int, last: bool, normalize: bool
) -> Plan:
    """Return how a backward pass is cut; arguments as above."""
    tile = _tile(shape, groups, item, last, SIDE_BY_SIDE)
    lanes = tile['BLOCK_G'] * tile['BLOCK_C']
    block = max(BACKWARD_TILE // lanes, 16)
    tasks = shape[0] * groups // tile['BLOCK_G']
    tile.update(
        BLOCK_P=block,
        NORMALIZE=normalize,
        num_warps=_warps(lanes * block, BACKWARD_TILE, BACKWARD_WARPS),
        maxnreg=REGISTERS,
    )
    parts, blocks = _parts(
        shape, tasks, block, PROGRAMS_LAST if last else PROGRAMS
    )
    return Plan(
        (tasks * parts,),
        (shape[2] * shape[3], parts, blocks, groups),
        tile,
        tasks * parts * 8 * lanes,
        ((0, 0), (1, 1)),
    )


def most_waiting(processors: int) -> int:
    """Return how many parts of a task may wait for each other.

    A processor holds at least one of them. A quarter of all leaves room for
    other streams whose programs wait as well.

    Args:
        processors: Number of the GPU's streaming multiprocessors.
    """
    return max(processors // 4, 1)


def _tile(
    shape: Tuple[int, ...],
    groups: int,
    item: int,
    last: bool,
    side_by_side: int,
) -> Dict[str, Any]:
    """Return the sizes of a tile that layout and alignment decide."""
    c, positions = shape[1] // groups, shape[2] * shape[3]
    block_c = 1 << (c - 1).bit_length()
    together = align = 1
    if not last:
        align = _power_of_two(positions, LOAD // item)
    elif c == block_c <= FEW:
        together = _power_of_two(groups, max(side_by_side // (item * c), 1))
    return dict(c=c, BLOCK_G=together, BLOCK_C=block_c, V=align, LAST=last)


def _warps(size: int, usual: int, warps: int) -> int:
    """Scale a number of warps with the size of a tile, within 4 to 16."""
    return min(max(warps * size // usual, 4), 16)


def _power_of_two(number: int, most: int) -> int:
    """Return the largest power of two up to ``most`` that divides it."""
    return min(number & -number, most)


def _parts(
    shape: Tuple[int, ...], tasks: int, block: int, programs: int
) -> Tuple[int, int]:
    """Return the parts of a task, and the blocks of positions of a part."""
    all_blocks = -(-shape[2] * shape[3] // block)
    blocks = -(-all_blocks // max(1, programs // tasks))
    return -(-all_blocks // blocks), blocks
