"""This machine, and what this process may use of it."""

import os
import platform
import re
from pathlib import Path


def available_memory() -> int:
    """Return the memory that is free on the machine, in bytes.

    Limits of a container are not considered.
    """
    meminfo = Path('/proc/meminfo')
    if meminfo.is_file():
        found = re.search(r'MemAvailable:\s*(\d+) kB', meminfo.read_text())
        if found:
            return 1024 * int(found[1])
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


def usable_processors() -> int:
    """Return the number of processors that this process may use.

    ``OMP_NUM_THREADS`` limits it, as it limits PyTorch's threads.
    """
    wanted = os.environ.get('OMP_NUM_THREADS', '')
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name() -> str:
    """Return the name of the processor's model, or its architecture."""
    info = Path('/proc/cpuinfo')
    if info.is_file():
        found = re.search(r'^model name\s*: (.+)', info.read_text(), re.M)
        if found:
            return found[1].strip()
    return platform.machine()
