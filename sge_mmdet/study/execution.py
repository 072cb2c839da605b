"""Training and testing of the runs of a study, some at a time."""

import os
import queue
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, List, Optional, Sequence, Set, Union

from tqdm import tqdm

from ..engine import run_upstream_tool
from ..utils import Writer, named_errors, open_to_append, printable
from ..utils.locks import lock
from .machines import note_machine
from .plan import UNFINISHED, StudyRun

# MMDetection's own tools, with the same arguments as in a shell.
TOOL = 'from sge_mmdet.study.execution import run_tool; run_tool({!r})'
# Progress of a run in a line of MMEngine's log.
PROGRESS = re.compile(
    r'(?:Iter|Epoch)\((\w+)\)\s+((?:\[[\s\d/]+\])+)'
    r'(?:.*?(eta: (?:\d+ days?, )?[\d:]+))?'
)


@dataclass(frozen=True)
class FailedRun:
    """A run that ended with an error.

    Attributes:
        run: The run.
        log: File with the output of the run.
        end: Last lines of the output.
    """

    run: StudyRun
    log: Path
    end: str


def run_study(
    runs: Sequence[StudyRun],
    work_dir: Union[str, Path],
    gpus: Sequence[str] = (),
    jobs: int = 1,
) -> List[FailedRun]:
    """Train and test the runs that have no result yet.

    An interrupted run continues from its last checkpoint. A run that fails
    does not stop the others.

    Args:
        runs (Sequence[StudyRun]): Runs of :func:`plan_study`.
        work_dir (str or Path): Work directory of the study.
        gpus (Sequence[str]): GPUs by their names in ``CUDA_VISIBLE_DEVICES``;
            each trains ``jobs`` runs at a time. Default: (), all runs on the
            default device of PyTorch.
        jobs (int): Number of runs at a time on each device. With more than
            one, each has its share of the CPU's cores, unless the environment
            sets ``OMP_NUM_THREADS``. Default: 1.

    Returns:
        list[FailedRun]: Runs that failed.

    Raises:
        RuntimeError: If another process is running this study.
        ValueError: If ``jobs`` is not positive.
    """
    if jobs < 1:
        raise ValueError(f'jobs: expected at least 1, got {jobs}')
    failed = []
    with study_lock(Path(work_dir)) as lock:
        devices: List[Optional[str]] = [*gpus] if gpus else [None]
        pool = _Pool(devices * jobs, lock)
        try:
            futures = {
                pool.submit(run): run for run in runs if not run.is_done
            }
            with show_progress(runs) as update:
                waiting = set(futures)
                while waiting:
                    _, waiting = wait(waiting, timeout=2)
                    update(
                        [
                            futures[future]
                            for future in futures
                            if future.running()
                        ]
                    )
            for future in futures:
                failure = future.result()
                if failure:
                    failed.append(failure)
        finally:
            pool.stop()
    return failed


def execute_run(run: StudyRun) -> Optional[FailedRun]:
    """Train and test one run, and wait for it.

    Args:
        run (StudyRun): The run.

    Returns:
        FailedRun or None: The failure, if there is one.
    """
    return _Pool([None]).execute(run)


def run_tool(name: str) -> None:
    """Run a tool of MMDetection on the arguments of this process.

    The last one is the work directory.

    Args:
        name (str): "train.py", which also notes the machine, or "test.py".
    """
    if name == 'train.py':
        note_machine(sys.argv[-1])
    run_upstream_tool(name)


@contextmanager
def show_progress(
    runs: Sequence[StudyRun],
) -> Iterator[Callable[[Sequence[StudyRun]], None]]:
    """Show how many runs are done, and how far some of them are.

    Args:
        runs (Sequence[StudyRun]): All runs of the study.

    Yields:
        Callable: Updates the line, with the runs whose progress is shown
        unless they are done.
    """
    done = sum(run.is_done for run in runs)
    # Smoothing would average over updates that add no run.
    with tqdm(
        total=len(runs), initial=done, smoothing=0, desc='runs', unit='run'
    ) as bar:

        def update(shown: Sequence[StudyRun]) -> None:
            bar.update(sum(run.is_done for run in runs) - bar.n)
            bar.set_postfix_str(
                ', '.join(
                    describe_progress(run)
                    for run in shown
                    if log_file(run).is_file() and not run.is_done
                )
            )

        yield update


class _Pool:
    """Pool of places for runs, by the device that each is on."""

    def __init__(
        self, devices: Sequence[Optional[str]], lock: Optional[int] = None
    ) -> None:
        self.devices: queue.Queue = queue.Queue()
        for device in devices:
            self.devices.put(device)
        self.lock = lock
        self.processes: Set[subprocess.Popen] = set()
        self.is_stopped = False
        # Held from the check of is_stopped to the start of a process, so that
        # a stop in between cannot miss the process.
        self.starting = threading.Lock()
        self.threads = ThreadPoolExecutor(len(devices))
        self.environment = dict(os.environ)
        if len(devices) > 1:
            # PyTorch would start a thread for every core in every process.
            share = max(1, (os.cpu_count() or 1) // len(devices))
            self.environment.setdefault('OMP_NUM_THREADS', str(share))

    def submit(self, run: StudyRun) -> 'Future[Optional[FailedRun]]':
        return self.threads.submit(self.execute, run)

    def stop(self) -> None:
        """Terminate the running processes; the next study resumes them."""
        with self.starting:
            self.is_stopped = True
            for process in self.processes:
                process.terminate()
        self.threads.shutdown()

    def execute(self, run: StudyRun) -> Optional[FailedRun]:
        """Train and test a run; return the failure, if there is one."""
        device = self.devices.get()
        try:
            return self.train_and_test(run, device)
        except OSError as error:
            return FailedRun(run, log_file(run), str(error))
        finally:
            self.devices.put(device)

    def train_and_test(
        self, run: StudyRun, device: Optional[str]
    ) -> Optional[FailedRun]:
        with named_errors(run.work_dir):
            run.work_dir.mkdir(parents=True, exist_ok=True)
        trained = run.work_dir / 'trained'
        if not trained.is_file():
            # With --resume and no checkpoint, MMDetection would ignore the
            # initial weights of the config (load_from).
            resume = ['--resume'] if any(run.work_dir.glob('*.pth')) else []
            if self.call(run, device, 'train.py', run.config, *resume):
                return failure_of(run)
            Writer().write(trained, '')
        checkpoint = (run.work_dir / 'last_checkpoint').read_text().strip()
        if self.call(run, device, 'test.py', run.config, checkpoint):
            return failure_of(run)
        for path in run.work_dir.glob(f'{UNFINISHED}.*.json'):
            Writer(overwrite=True).publish(
                path,
                path.with_name(path.name.replace(UNFINISHED, 'detections', 1)),
            )
        if not run.is_done:
            return FailedRun(
                run,
                log_file(run),
                f'Expected the test to write {run.detections.name}, got no '
                'such file; see the log',
            )
        return None

    def call(
        self,
        run: StudyRun,
        device: Optional[str],
        tool: str,
        *args: Union[str, Path],
    ) -> int:
        """Run a tool of MMDetection and return its exit status."""
        environment = dict(self.environment)
        if device is not None:
            environment['CUDA_VISIBLE_DEVICES'] = device
        command = [
            sys.executable,
            '-c',
            TOOL.format(tool),
            *map(str, args),
            '--work-dir',
            str(run.work_dir),
        ]
        with open_to_append(log_file(run)) as log:
            with self.starting:
                if self.is_stopped:
                    return 1
                # The training inherits the lock, so that the study stays
                # locked if this process is killed and the training goes on.
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    pass_fds=() if self.lock is None else (self.lock,),
                )
                self.processes.add(process)
            status = process.wait()
        with self.starting:
            self.processes.discard(process)
        return status


def log_file(run: StudyRun) -> Path:
    """Return the file with the output of a run.

    Args:
        run (StudyRun): The run.
    """
    return run.work_dir / 'output.log'


def describe_progress(run: StudyRun) -> str:
    """Return the progress of a run: "SGE 0 train [120/400] eta: 0:02".

    Args:
        run (StudyRun): The run.
    """
    found = PROGRESS.findall(_end(log_file(run)))
    return ' '.join(
        [run.name, str(run.seed), *filter(None, found[-1])]
        if found
        else [run.name, str(run.seed), 'starts']
    )


def failure_of(run: StudyRun) -> FailedRun:
    """Return a failure with the end of a run's output.

    Args:
        run (StudyRun): The run.
    """
    lines = _end(log_file(run)).strip().splitlines()
    return FailedRun(
        run,
        log_file(run),
        '\n'.join(printable(line, 1000) for line in lines[-3:]),
    )


def _end(path: Path, size: int = 8192) -> str:
    if not path.is_file():
        return ''
    with path.open('rb') as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read().decode(errors='replace')


@contextmanager
def study_lock(work_dir: Path, timeout: float = 15) -> Iterator[int]:
    """Hold the lock of a study; wait for the last trainings of an old one.

    Args:
        work_dir (Path): Work directory of the study.
        timeout (float): Seconds to wait. Default: 15.

    Yields:
        int: Descriptor of the locked file.

    Raises:
        RuntimeError: If another process holds it for longer.
    """
    with open_to_append(work_dir / 'lock') as file:
        deadline = time.monotonic() + timeout
        while True:
            try:
                lock(file, wait=False)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise RuntimeError(
                        'Another study, or a training that it started, is '
                        f'running in {work_dir}; wait for it or stop it'
                    ) from error
            time.sleep(0.2)
        yield file.fileno()
