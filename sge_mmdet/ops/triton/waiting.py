"""Programs of one launch that wait for each other.

Programs take their numbers from a counter in the order in which they start.
All parts of the first unfinished task therefore run at the same time, if the
GPU holds at least as many programs as a task has parts, and no program waits
for one that has not started. The host limits the number of parts; see
:func:`sge_mmdet.ops.triton.plan.most_waiting`.

``turns`` holds the counter of numbers and one counter for each task. The
counter of numbers is 0 again after a launch. The counter of a task is not: its
highest bit flips each time that the parts meet, and its other bits are 0
again. Parts wait for the flip, whichever value the bit had, so that the next
launch in the same stream takes the counters as they are.
"""

import triton
import triton.language as tl


@triton.jit
def take_ticket(turns, WAIT: tl.constexpr):
    """Return the number of this program among those that have started."""
    program = tl.program_id(0)
    if WAIT:
        program = tl.atomic_add(turns, 1)
        if program == tl.num_programs(0) - 1:
            # All programs have their numbers.
            tl.atomic_xchg(turns, 0)
    return program


@triton.jit
def wait_for_parts(turns, task, parts, part, WAIT: tl.constexpr):
    """Wait until all parts of a task have reached this barrier.

    Part 0 adds 2**31 - (parts - 1), each other part adds 1. The sum is 2**31,
    so that the highest bit flips when the last part comes.
    """
    # Other threads of this program will read what each thread wrote.
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
