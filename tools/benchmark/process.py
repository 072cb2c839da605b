"""Scripts in processes of their own, within a time limit.

Without a GPU, processes are forked from a server that has imported what takes
seconds. With a GPU they start afresh, since CUDA does not work in a process
that was forked from one that has looked for a GPU, as MMEngine does when it is
imported.

Each script leads a process group. When the script ends, when its time is up,
or when the process that started it is gone, what is left of its group is
killed: the program under a sanitizer, or workers of a pool.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import lru_cache
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Optional, Sequence, Set

import torch

# Exit status of a script that has nothing to do on this machine.
SKIPPED = 77
# How long a killed process may take to end, in seconds. One that waits for a
# driver may never end.
PATIENCE = 10
_ROOT = Path(__file__).resolve().parents[2]
_running: Set[BaseProcess] = set()


@lru_cache(maxsize=None)
def _context() -> BaseContext:
    """Return how processes start; see the head of this file."""
    context = multiprocessing.get_context(
        'spawn' if torch.cuda.is_available() else 'forkserver'
    )
    context.set_forkserver_preload(['bare', 'torch', 'sge_mmdet'])
    return context


def run_script(
    script: Path,
    arguments: Sequence[str],
    log: Path,
    seconds: float,
) -> Optional[int]:
    """Run a script, and return its exit status, or None if its time was up.

    Args:
        script (Path): The script.
        arguments (Sequence[str]): Its arguments.
        log (Path): File that gets what it prints.
        seconds (float): Time limit.
    """
    _find_modules_of(script)
    process = _context().Process(target=_run, args=(script, arguments, log))
    process.start()
    _running.add(process)
    try:
        process.join(seconds)
        # Before it is killed.
        status = process.exitcode
    finally:
        _running.discard(process)
        kill_group(process)
    return status


def kill_running() -> None:
    """Kill the scripts that run in other threads, with what they started."""
    for process in list(_running):
        kill_group(process)


def kill_group(process: BaseProcess) -> None:
    """Kill a process and what it has started, and wait a little for its end.

    Args:
        process (BaseProcess): The leader of the group, which may have ended.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    # Also where it had no time to make a group.
    process.kill()
    process.join(PATIENCE)
    if process.is_alive():
        # Python would wait for it without a limit at its own end.
        atexit.register(_end_now)


def new_pool(jobs: int) -> ProcessPoolExecutor:
    """Return a pool of processes, which belong to the group of this one.

    Without a GPU they are copies of this process, so that it should have
    computed nothing yet; with one they start afresh.

    Args:
        jobs (int): Number of processes.
    """
    start = 'spawn' if torch.cuda.is_available() else 'fork'
    return ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context(start)
    )


def _find_modules_of(script: Path) -> None:
    """Let processes that start afresh find the modules beside a script."""
    known = os.environ.get('PYTHONPATH', '').split(os.pathsep)
    folders = [str(script.parent), str(_ROOT), *filter(None, known)]
    os.environ['PYTHONPATH'] = os.pathsep.join(dict.fromkeys(folders))


def _run(script: Path, arguments: Sequence[str], log: Path) -> None:
    os.setpgid(0, 0)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with log.open('w') as file:
        for stream in 1, 2:
            os.dup2(file.fileno(), stream)
    sys.stdout.reconfigure(line_buffering=True)
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.parent))
    runpy.run_path(str(script), run_name='__main__')


def _end_with_parent() -> None:
    """Kill the group of this process once its parent is gone."""
    multiprocessing.parent_process().join()
    os.killpg(0, signal.SIGKILL)


def _end_now() -> None:
    """End without waiting for other processes."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
