"""Scripts in processes of their own, within a time limit.

Without a GPU, what takes seconds to import is imported once: processes are
forked from a server that has it. With one they start afresh, since CUDA does
not work in a process that was forked from one that has looked for a GPU, as
MMEngine does when it is imported.
"""

import multiprocessing
import os
import runpy
import sys
from pathlib import Path
from typing import Dict, Optional, Sequence

import torch

# Exit status of a script that has nothing to do on this machine.
SKIPPED = 77
_ROOT = Path(__file__).resolve().parents[2]
context = multiprocessing.get_context(
    'spawn' if torch.cuda.is_available() else 'forkserver'
)
context.set_forkserver_preload(['bare', 'torch', 'sge_mmdet'])


def run_script(
    script: Path,
    arguments: Sequence[str],
    log: Path,
    seconds: float,
    env: Dict[str, str],
) -> Optional[int]:
    """Run a script, and return its exit status, or None if its time was up.

    Args:
        script (Path): The script.
        arguments (Sequence[str]): Its arguments.
        log (Path): File that gets what it prints.
        seconds (float): Time limit.
        env (dict[str, str]): Environment variables, beside those of this
            process.
    """
    # Processes that start afresh find modules by it.
    os.environ['PYTHONPATH'] = os.pathsep.join(
        dict.fromkeys(
            [
                str(script.parent),
                str(_ROOT),
                *filter(
                    None, os.environ.get('PYTHONPATH', '').split(os.pathsep)
                ),
            ]
        )
    )
    process = context.Process(target=_run, args=(script, arguments, log, env))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        return None
    return process.exitcode


def _run(
    script: Path, arguments: Sequence[str], log: Path, env: Dict[str, str]
) -> None:
    os.environ.update(env)
    with log.open('w') as file:
        for stream in 1, 2:
            os.dup2(file.fileno(), stream)
    sys.stdout.reconfigure(line_buffering=True)
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.parent))
    runpy.run_path(str(script), run_name='__main__')
