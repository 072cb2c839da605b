"""How much time and memory a file takes of whatever reads it."""

import contextlib
import ctypes
import re
import time
from pathlib import Path
from typing import Iterator, List, Tuple

# Of docs/security.md: memory beyond what the process held before.
TIMES_ITS_SIZE, FREE_BYTES = 10, 100_000_000
CPU_SECONDS = 20
STATUS, CLEAR = Path('/proc/self/status'), Path('/proc/self/clear_refs')


@contextlib.contextmanager
def measured(size: int) -> 'Iterator[List[str]]':
    """Note in a list what of the limits is exceeded meanwhile.

    Where the system does not tell the peak of the memory, only the time is
    looked at.

    Args:
        size (int): Of the file, in bytes.
    """
    exceeded: List[str] = []
    has_peak = _forget_peak()
    before, begin = _memory()[0] if has_peak else 0, time.process_time()
    yield exceeded
    seconds = time.process_time() - begin
    if seconds > CPU_SECONDS:
        exceeded.append(f'it took {seconds:.1f} s, more than {CPU_SECONDS}')
    most = TIMES_ITS_SIZE * size + FREE_BYTES
    taken = _memory()[1] - before if has_peak else 0
    if taken > most:
        exceeded.append(
            f'it took {taken / 1e6:.1f} MB, more than {most / 1e6:.1f}'
        )


def _forget_peak() -> bool:
    """Let the peak be that of now; return whether that is possible."""
    try:
        # What was freed goes back first, or it would hide what is taken.
        ctypes.CDLL(None).malloc_trim(0)
        CLEAR.write_text('5')
    except (AttributeError, OSError):
        return False
    return STATUS.is_file()


def _memory() -> Tuple[int, int]:
    """Return the memory that the process holds and its peak, in bytes."""
    text = STATUS.read_text()
    now, peak = (
        re.search(rf'{name}:\s*(\d+) kB', text) for name in ('VmRSS', 'VmHWM')
    )
    return 1024 * int(now[1]), 1024 * int(peak[1])
