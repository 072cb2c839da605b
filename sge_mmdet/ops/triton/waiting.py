"""Programs of one launch that wait for each other.

Programs take their numbers from a counter, in the order in which they start,
so that those of the first unfinished group are running as long as a GPU holds
as many programs as a group has parts. What waits is therefore waited for. The
host limits that number; see :func:`sge_mmdet.ops.triton.plan.most_waiting`.

``turns`` holds the counter of numbers and one counter a group. All come back
to what they were, so that the next launch in the same stream finds them so.
"""

import triton
import triton.language as tl


@triton.jit
def take_ticket(turns, WAIT: tl.constexpr):
    """Return the number of a program."""
    program = tl.program_id(0)
    if WAIT:
        program = tl.atomic_add(turns, 1)
        if program == tl.num_programs(0) - 1:
            # All have theirs.
            tl.atomic_xchg(turns, 0)
    return program


@triton.jit
def wait_for_parts(turns, task, parts, part, WAIT: tl.constexpr):
    """Wait until all parts of a task have come here.

    The highest bit of the counter flips when the last one comes: the first
    part adds what the others lack to 2**31.
    """
    # What a thread wrote, another one of the program will read.
    tl.debug_barrier()
    if WAIT:
        turn = turns + 1 + task
        lacking = (1 - parts) ^ -2147483648
        before = tl.atomic_add(
            turn, tl.where(part == 0, lacking, 1), sem='release'
        )
        now = before
        while (before ^ now) >= 0:
            now = tl.atomic_add(turn, 0, sem='acquire')
        tl.debug_barrier()
