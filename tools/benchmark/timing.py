"""How long functions take, in turns, and how much memory."""

import os
import time
from contextlib import contextmanager
from statistics import quantiles
from typing import Callable, Dict, Iterator, List, NamedTuple, Tuple

import torch

# Calls that nothing waits for, of which the wall time is taken at once; fewer,
# but at least 3, where they take longer than this together, in seconds.
PIPELINE, ENOUGH = 20, 0.05
# Calls in a graph that is replayed to time kernels shorter than a launch.
GRAPH_CALLS = 20
# A shorter call on a GPU is timed by replays of a graph as well.
SHORT = 100e-6
WARM_UP = 2
# A GPU's cycles in a second, rounded up. PyTorch keeps a GPU busy for a number
# of cycles, and Python's time is known in seconds.
CYCLES = 2_000_000_000


class Spread(NamedTuple):
    """Median and quartiles of a time, in seconds."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, seconds: List[float]) -> 'Spread':
        """Return those of times.

        Args:
            seconds (list[float]): The times.
        """
        if len(seconds) == 1:
            return cls(*seconds * 3)
        lower, median, upper = quantiles(seconds, n=4, method='inclusive')
        return cls(median, lower, upper)


# Runs something on the i-th of several sets of tensors.
Call = Callable[[int], object]


def time_in_turns(
    calls: Dict[str, Call],
    device: torch.device,
    rounds: int,
    buffers: int = 1,
    warm_up: int = WARM_UP,
) -> Dict[Tuple[str, str], Spread]:
    """Time functions one after the other, round after round.

    What disturbs the machine for a while then disturbs all of them.

    Args:
        calls (dict[str, Callable]): By name; each takes the index of the set
            of tensors that it works on.
        device (torch.device): Where they run.
        rounds (int): How often each is timed.
        buffers (int): Sets of tensors. With several, a GPU's cache holds none
            of what the next call reads. Default: 1.
        warm_up (int): Rounds that come before and are not counted.
            Default: 2.

    Returns:
        dict[tuple[str, str], Spread]: By name and clock: "wall" is the time
        of one of many calls that nothing waits for; on a GPU there are also
        "cold" and "hot", the GPU's own time with and without changing the
        set of tensors, and for short calls "graph", that of one of many
        replays, tensors changing.
    """
    clocks = (
        _gpu_clocks(buffers)
        if device.type == 'cuda'
        else dict(wall=_wall_of_one)
    )
    times: Dict[Tuple[str, str], List[float]] = {}
    for i in range(rounds + warm_up):
        for name, call in calls.items():
            for clock, measure in clocks.items():
                seconds = measure(call, i % buffers)
                if i >= warm_up:
                    times.setdefault((name, clock), []).append(seconds)
    results = {key: Spread.of(seconds) for key, seconds in times.items()}
    if device.type == 'cuda':
        short = {
            name: call
            for name, call in calls.items()
            if results[name, 'hot'].median < SHORT
        }
        results.update(
            ((name, 'graph'), spread)
            for name, spread in time_replays(short, rounds, buffers).items()
        )
    return results


def _wall_of_one(call: Call, i: int) -> float:
    start = time.perf_counter()
    result = call(i)
    seconds = time.perf_counter() - start
    del result
    return seconds


def _gpu_clocks(buffers: int) -> 'Dict[str, Callable[[Call, int], float]]':
    def gpu(call: Call, warm: int, i: int) -> float:
        torch.cuda.synchronize()
        queued = time.perf_counter()
        call(warm)
        queueing = time.perf_counter() - queued
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        # The GPU must not wait for Python, which would be timed as well.
        torch.cuda._sleep(int(2 * CYCLES * queueing))
        start.record()
        call(i)
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3

    in_a_row: Dict[Call, int] = {}

    def wall(call: Call, i: int) -> float:
        count = in_a_row.get(call, 3)
        torch.cuda.synchronize()
        start = time.perf_counter()
        for k in range(count):
            call((i + k) % buffers)
        torch.cuda.synchronize()
        seconds = (time.perf_counter() - start) / count
        in_a_row[call] = min(max(int(ENOUGH / seconds), 3), PIPELINE)
        return seconds

    clocks = dict(wall=wall, hot=lambda call, i: gpu(call, i, i))
    if buffers > 1:
        clocks['cold'] = lambda call, i: gpu(call, (i + 1) % buffers, i)
    return clocks


def time_replays(
    calls: Dict[str, Call], rounds: int, buffers: int = 1
) -> Dict[str, Spread]:
    """Time calls on a GPU in replays of graphs, which leave Python out.

    Args:
        calls (dict[str, Callable]): As of :func:`time_in_turns`. What they
            need is compiled.
        rounds (int): How often each is timed.
        buffers (int): Sets of tensors, which change from call to call.
            Default: 1.

    Returns:
        dict[str, Spread]: The time of one call, by name.
    """
    graphs = {}
    for name, call in calls.items():
        graphs[name] = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graphs[name]):
            for k in range(GRAPH_CALLS):
                call(k % buffers)
    times: Dict[str, List[float]] = {name: [] for name in graphs}
    for i in range(rounds + WARM_UP):
        for name, graph in graphs.items():
            start, end = (
                torch.cuda.Event(enable_timing=True) for _ in range(2)
            )
            start.record()
            graph.replay()
            end.record()
            end.synchronize()
            if i >= WARM_UP:
                times[name].append(start.elapsed_time(end) / 1e3 / GRAPH_CALLS)
    return {name: Spread.of(seconds) for name, seconds in times.items()}


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
