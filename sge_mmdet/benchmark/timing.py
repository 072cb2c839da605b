"""How long functions take, in turns, and how much memory."""
import os
import time
from contextlib import contextmanager
from statistics import median
from typing import Callable, Dict, Iterator, List

import torch


def time_in_turns(functions: Dict[str, Callable[[], object]],
                  device: torch.device, rounds: int) -> Dict[str, float]:
    """Time functions one after the other, round after round.

    What disturbs the machine for a while then disturbs all of them.

    Args:
        functions (dict[str, Callable]): By name.
        device (torch.device): Where they run.
        rounds (int): How often each is timed, after two calls that are not.

    Returns:
        dict[str, float]: Medians in seconds.
    """
    times: Dict[str, List[float]] = {name: [] for name in functions}
    for i in range(rounds + 2):
        for name, function in functions.items():
            seconds = _time_once(function, device)
            if i >= 2:
                times[name].append(seconds)
    return {name: median(seconds) for name, seconds in times.items()}


def peak_memory(function: Callable[[], object], device: torch.device) -> int:
    """Return the most memory that a function's tensors take, in bytes.

    What was there before it does not count.

    Args:
        function (Callable): What to run.
        device (torch.device): Where it runs.
    """
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        result = function()
        torch.cuda.synchronize(device)
        del result
        return torch.cuda.max_memory_allocated(device) - before
    with _no_stderr(), torch.profiler.profile(profile_memory=True) as profile:
        result = function()
        del result
    now = most = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == '[memory]':
            now += event.nbytes()
            most = max(most, now)
    return most


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Silence PyTorch's profiler, which announces each start and stop."""
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def _time_once(function: Callable[[], object],
               device: torch.device) -> float:
    if device.type == 'cuda':
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        # The GPU must not wait for Python, which would be timed as well.
        torch.cuda._sleep(20_000_000)
        start.record()
        function()
        end.record()
        torch.cuda.synchronize(device)
        return start.elapsed_time(end) / 1e3
    start = time.perf_counter()
    result = function()
    seconds = time.perf_counter() - start
    del result
    return seconds
