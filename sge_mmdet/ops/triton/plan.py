"""How the work of a pass is cut into programs; decided on the host.

What a kernel is compiled for depends on the type, the layout, c and the
alignment of a map's rows, never on the size of a map.
"""

from functools import lru_cache
from typing import Any, Dict, NamedTuple, Tuple

import torch
from torch import Tensor

# Values that a warp holds at a time, 16 a thread, beside its sums. Up to 32
# channels a group, a program is one warp, so that no warp waits for another
# when channels are summed.
TILE = 512
# Programs that keep a GPU busy; tools/benchmark/tiles.py tries others.
PROGRAMS = 2048
# Numbers that a program adds up at most when it begins.
RECORDS = 8192
# Positions that a thread loads at once in NCHW, and adds up.
WIDE = 4
# Channels that lie side by side in channels-last.
SIDE_BY_SIDE = 16
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
    group, those between the positions of a tile in channels-last, and sums of
    all groups, in 32 bits.

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
    wait: int = 1,
) -> Plan:
    """Return how a forward pass is cut.

    It is one launch where a task is one part or its parts wait for each
    other; otherwise each phase has one, and phase 1 none where nothing is
    normalised.

    Args:
        shape: Shape of the map, (N, C, H, W).
        groups: Number of groups.
        item: Bytes of a value.
        last: Whether the layout is channels-last.
        normalize: Whether the similarity is normalised.
        wait: Parts of a task that may wait for each other.
    """
    tile = _tile(shape, groups, item, last)
    lanes = tile['BLOCK_G'] * tile['BLOCK_C']
    # A sum of each channel, and one of each group.
    width = lanes + tile['BLOCK_G']
    tasks, parts, blocks = _parts(shape, groups, tile, width)
    tile.update(NORMALIZE=normalize, WAIT=1 < parts <= wait)
    phases = (0, 1, 2) if normalize else (0, 2)
    launches = tuple((phase, phase) for phase in phases)
    return Plan(
        (tasks * parts,),
        (shape[2] * shape[3], parts, blocks, groups),
        tile,
        tasks * parts * width,
        ((0, 2),) if parts <= wait else launches,
    )


@lru_cache(maxsize=4096)
def backward_plan(
    shape: Tuple[int, ...], groups: int, item: int, last: bool, normalize: bool
) -> Plan:
    """Return how a backward pass is cut; arguments as above."""
    tile = _tile(shape, groups, item, last)
    # Eight sums of each channel.
    width = 8 * tile['BLOCK_G'] * tile['BLOCK_C']
    tasks, parts, blocks = _parts(shape, groups, tile, width)
    tile.update(NORMALIZE=normalize)
    return Plan(
        (tasks * parts,),
        (shape[2] * shape[3], parts, blocks, groups),
        tile,
        tasks * parts * width,
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
    shape: Tuple[int, ...], groups: int, item: int, last: bool
) -> Dict[str, Any]:
    """Return the sizes of a tile, which layout and alignment decide."""
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
        maxnreg=REGISTERS,
    )


def _power_of_two(number: int, most: int) -> int:
    """Return the largest power of two up to ``most`` that divides it."""
    return min(number & -number, most)


def _parts(
    shape: Tuple[int, ...], groups: int, tile: Dict[str, Any], width: int
) -> Tuple[int, int, int]:
    """Return the number of tasks, of parts of one, and of blocks of a part.

    The last argument is how many sums a part leaves.
    """
    tasks = shape[0] * groups // tile['BLOCK_G']
    parts = max(1, min(PROGRAMS // tasks, RECORDS // width))
    all_blocks = -(-shape[2] * shape[3] // tile['BLOCK_P'])
    blocks = -(-all_blocks // parts)
    return tasks, -(-all_blocks // blocks), blocks
