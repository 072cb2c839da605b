"""How the work of a pass is cut into programs; decided on the host.

What a kernel is compiled for depends on the type, the layout, c and the
alignment of a map's rows, never on the size of a map.
"""

from functools import lru_cache
from typing import Any, Dict, NamedTuple, Tuple

import torch
from torch import Tensor

# Values that a warp holds at a time: 16 a thread, beside its sums.
TILE = 512
# Warps of a program, and programs that keep a GPU busy, by layout. In NCHW all
# channels of a group then stand within one warp, and none waits for another;
# in channels-last they stand side by side anyway, and fewer programs have
# fewer records to add up. tools/benchmark/tiles.py tries others.
WARPS, PROGRAMS = 1, 2048
WARPS_LAST, PROGRAMS_LAST = 4, 1024
# Numbers that a program adds up at most when it begins.
RECORDS = 8192
# Widest load in bytes, and in positions, of which a thread adds up as many.
LOAD, WIDE = 16, 4
# Channels that lie side by side in channels-last.
SIDE_BY_SIDE = 32
# Up to so many channels the products of channels replace a launch; from so
# many on, of one or more groups, they are multiplied as matrices.
MANY, MANY_LAST, MATRIX = 8, 8, 16
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
    other. Otherwise it is two, or three where the second moments need a read
    of their own.

    Args:
        shape: Shape of the map, (N, C, H, W).
        groups: Number of groups.
        item: Bytes of a value.
        last: Whether the layout is channels-last.
        normalize: Whether the similarity is normalised.
        wait: Parts of a task that may wait for each other.
    """
    c = shape[1] // groups
    moments = normalize and c <= (MANY_LAST if last else MANY)
    tile = _tile(shape, groups, item, last, MATRIX if moments else 1)
    lanes = tile['BLOCK_G'] * tile['BLOCK_C']
    block = _block(lanes, last)
    tasks = shape[0] * groups // tile['BLOCK_G']
    width = lanes * tile['BLOCK_C'] if moments else tile['BLOCK_G']
    most = RECORDS // (lanes + width)
    parts, blocks = _parts(shape, tasks, block, last, most)
    tile.update(
        BLOCK_P=block,
        NORMALIZE=normalize,
        MOMENTS=moments,
        MATRIX=moments and lanes >= MATRIX,
        WAIT=1 < parts <= wait,
        num_warps=_warps(lanes * block),
        maxnreg=REGISTERS,
    )
    phases = (0, 1, 2) if normalize and not moments else (0, 2)
    launches = tuple((phase, phase) for phase in phases)
    return Plan(
        (tasks * parts,),
        (shape[2] * shape[3], parts, blocks, groups),
        tile,
        tasks * parts * (lanes + width),
        ((0, 2),) if parts <= wait else launches,
    )


@lru_cache(maxsize=4096)
def backward_plan(
    shape: Tuple[int, ...], groups: int, item: int, last: bool, normalize: bool
) -> Plan:
    """Return how a backward pass is cut; arguments as above."""
    tile = _tile(shape, groups, item, last, 1)
    lanes = tile['BLOCK_G'] * tile['BLOCK_C']
    block = _block(lanes, last)
    tasks = shape[0] * groups // tile['BLOCK_G']
    tile.update(
        BLOCK_P=block,
        NORMALIZE=normalize,
        num_warps=_warps(lanes * block),
        maxnreg=REGISTERS,
    )
    most = RECORDS // (8 * lanes)
    parts, blocks = _parts(shape, tasks, block, last, most)
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
    lanes: int,
) -> Dict[str, Any]:
    """Return the sizes of a tile that layout and alignment decide."""
    c, positions = shape[1] // groups, shape[2] * shape[3]
    block_c = 1 << (c - 1).bit_length()
    side = SIDE_BY_SIDE if last else lanes if c > WIDE else 1
    together = align = 1
    if c == block_c:
        together = _power_of_two(groups, max(side // c, 1))
    if not last:
        align = _power_of_two(positions, WIDE)
    fold = item if last else align
    return dict(
        c=c, BLOCK_G=together, BLOCK_C=block_c, V=align, FOLD=fold, LAST=last
    )


def _block(lanes: int, last: bool) -> int:
    """Return the positions of a tile of so many channels."""
    return max((WARPS_LAST if last else WARPS) * TILE // lanes, 16)


def _warps(size: int) -> int:
    """Return the warps that hold a tile."""
    return max(size // TILE, 1)


def _power_of_two(number: int, most: int) -> int:
    """Return the largest power of two up to ``most`` that divides it."""
    return min(number & -number, most)


def _parts(
    shape: Tuple[int, ...], tasks: int, block: int, last: bool, most: int
) -> Tuple[int, int]:
    """Return the parts of a task, and the blocks of positions of a part."""
    programs = PROGRAMS_LAST if last else PROGRAMS
    parts = max(1, min(programs // tasks, most))
    all_blocks = -(-shape[2] * shape[3] // block)
    blocks = -(-all_blocks // parts)
    return -(-all_blocks // blocks), blocks
