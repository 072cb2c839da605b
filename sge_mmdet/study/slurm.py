"""Runs of a study as a job array of Slurm."""

import contextlib
import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import List, Optional, Sequence, Union

from ..utils import Writer, load_json
from .execution import (
    FailedRun,
    execute_run,
    failure_of,
    show_progress,
    study_lock,
)
from .plan import StudyRun

# Seconds between two looks at the queue.
INTERVAL = 5.0
# Looks in a row that may fail, half an hour of them.
MOST_FAILURES = 360
# Batch script of the job array. Each task of it runs TASK, which finds its run
# by its number.
TASK = 'from sge_mmdet.study.slurm import run_task; run_task()'
SCRIPT = """#!/bin/bash
exec {python} -c '{task}' {runs}
"""


def run_study_on_slurm(
    runs: Sequence[StudyRun],
    work_dir: Union[str, Path],
    partition: str,
    jobs: Optional[int] = None,
    options: Sequence[str] = (),
) -> List[FailedRun]:
    """Train and test the runs that have no result yet, on a cluster.

    Each run is a task of one job array. The work directory and the data have
    to be on a file system that all machines share. Ctrl-C and SIGTERM cancel
    the array, and the next call goes on from the last checkpoints. If this
    process is killed otherwise, the array runs on, and the next call waits
    for it before it submits what is left.

    Args:
        runs (Sequence[StudyRun]): Runs of :func:`plan_study`.
        work_dir (str or Path): Work directory of the study.
        partition (str): Partition of the cluster.
        jobs (int, optional): Largest number of runs at a time. Default: None,
            as many as the cluster allows.
        options (Sequence[str]): More options of ``sbatch``, such as
            ``--gres=gpu:1``. Default: ().

    Returns:
        list[FailedRun]: Runs without a result at the end of the array.

    Raises:
        RuntimeError: If another process is running this study, or Slurm is
            missing or refuses the job.
    """
    folder = Path(work_dir).absolute() / 'slurm'
    job_file = folder / 'job'
    with study_lock(Path(work_dir)):
        if job_file.is_file():
            _wait_for(job_file.read_text(), runs)
        left = [run for run in runs if not run.is_done]
        if left:
            job = _submit(left, folder, partition, jobs, options)
            Writer(overwrite=True).write(job_file, job)
            _wait_for(job, runs)
        job_file.unlink(missing_ok=True)
    return [failure_of(run) for run in runs if not run.is_done]


def run_task() -> None:
    """Train and test one run, as a task of the job array."""
    (path,) = sys.argv[1:]
    content = load_json(path)[int(os.environ['SLURM_ARRAY_TASK_ID'])]
    classes = content['classes']
    run = StudyRun(
        content['name'],
        content['seed'],
        Path(content['config']),
        Path(content['work_dir']),
        Path(content['ground_truth']),
        content['metric'],
        tuple(classes) if classes else None,
    )
    failure = execute_run(run)
    if failure:
        sys.exit(f'{run.name}, seed {run.seed}, failed: {failure.end}')


def _submit(
    runs: Sequence[StudyRun],
    folder: Path,
    partition: str,
    jobs: Optional[int],
    options: Sequence[str],
) -> str:
    """Submit the runs as a job array and return its number."""
    listed = folder / 'runs.json'
    Writer(overwrite=True).write(
        listed, json.dumps([asdict(run) for run in runs], default=str)
    )
    tasks = f'0-{len(runs) - 1}'
    # --parsable prints "number" or "number;cluster".
    return _slurm(
        'sbatch',
        '--parsable',
        '--job-name=study',
        f'--partition={partition}',
        f'--array={tasks}%{jobs}' if jobs else f'--array={tasks}',
        f'--output={folder}/%A_%a.log',
        *options,
        script=SCRIPT.format(
            python=shlex.quote(sys.executable),
            task=TASK,
            runs=shlex.quote(str(listed)),
        ),
    ).split(';')[0]


def _wait_for(job: str, runs: Sequence[StudyRun]) -> None:
    """Wait for the end of a job array; Ctrl-C cancels it."""
    failures = 0
    try:
        with show_progress(runs) as update:
            while True:
                try:
                    if not _is_queued(job):
                        break
                    failures = 0
                except RuntimeError as error:
                    # A controller that restarts does not answer for a while.
                    failures += 1
                    if failures == MOST_FAILURES:
                        raise RuntimeError(
                            f'{error}; the job {job} was left as it is, and '
                            'the same command waits for it again'
                        ) from error
                update(runs)
                time.sleep(INTERVAL)
            update([])
    except KeyboardInterrupt:
        with contextlib.suppress(RuntimeError):
            _slurm('scancel', job)
        raise


def _is_queued(job: str) -> bool:
    """Return whether a job waits or runs."""
    try:
        return bool(_slurm('squeue', '--noheader', f'--jobs={job}'))
    except RuntimeError as error:
        # Slurm forgets jobs some minutes after their end.
        if 'Invalid job id' in str(error):
            return False
        raise


def _slurm(command: str, *options: str, script: str = '') -> str:
    """Run a command of Slurm and return what it prints."""
    try:
        done = subprocess.run(
            [command, *options],
            input=script,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise RuntimeError(
            f'There is no command {command} of Slurm here; start the study '
            'on a machine that submits jobs, or leave out --slurm'
        ) from error
    if done.returncode:
        raise RuntimeError(
            f'Slurm: {command} {" ".join(options)} failed: '
            f'{done.stderr.strip()}'
        )
    return done.stdout.strip()
