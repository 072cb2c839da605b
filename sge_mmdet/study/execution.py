"""Training and testing of a study's runs, one on each GPU at a time."""
import fcntl
import os
import queue
import re
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Union

from tqdm import tqdm

from .plan import StudyRun

# MMDetection's own tools, with the same arguments as in a shell.
TOOL = 'from sge_mmdet.runner import run_stock_tool; run_stock_tool({!r})'
# What a line of MMEngine's log says of how far a run is.
PROGRESS = re.compile(r'(?:Iter|Epoch)\((\w+)\)\s+((?:\[[\s\d/]+\])+)'
                      r'(?:.*?(eta: (?:\d+ days?, )?[\d:]+))?')


@dataclass(frozen=True)
class FailedRun:
    """A run that ended with an error.

    Attributes:
        run: Which.
        log: The file with all that it printed.
        end: The last lines of that.
    """

    run: StudyRun
    log: Path
    end: str


def run_study(runs: Sequence[StudyRun],
              work_dir: Union[str, Path],
              gpus: Sequence[str] = ()) -> List[FailedRun]:
    """Train and test the runs that have no result yet.

    A run that was interrupted goes on from its last checkpoint. One that
    fails does not keep the others from running.

    Args:
        runs (Sequence[StudyRun]): Of :func:`plan_study`.
        work_dir (str or Path): Of the study.
        gpus (Sequence[str]): GPUs, each for one run at a time, by what
            ``CUDA_VISIBLE_DEVICES`` calls them. Default: (), one run after
            another on what PyTorch takes by itself.

    Returns:
        list[FailedRun]: Those that failed.

    Raises:
        RuntimeError: If another process works on this study.
    """
    failed = []
    with _lock(Path(work_dir)) as lock:
        pool = _Pool(gpus or [None], lock)
        try:
            futures = {pool.submit(run): run for run in runs
                       if not run.is_done}
            with tqdm(total=len(runs), initial=len(runs) - len(futures),
                      desc='runs', unit='run') as bar:
                waiting = set(futures)
                while waiting:
                    done, waiting = wait(waiting, timeout=2)
                    bar.update(len(done))
                    bar.set_postfix_str(', '.join(
                        describe_progress(futures[future])
                        for future in futures if future.running()))
            for future in futures:
                if future.result():
                    failed.append(future.result())
        finally:
            pool.stop()
    return failed


class _Pool:
    """Runs in processes of their own, one at a time on each device."""

    def __init__(self, devices: Sequence[Optional[str]], lock: int) -> None:
        self.devices: queue.Queue = queue.Queue()
        for device in devices:
            self.devices.put(device)
        self.lock = lock
        self.processes: Dict[StudyRun, subprocess.Popen] = {}
        self.is_stopped = False
        self.threads = ThreadPoolExecutor(len(devices))

    def submit(self, run: StudyRun) -> 'Future[Optional[FailedRun]]':
        return self.threads.submit(self.execute, run)

    def stop(self) -> None:
        """End what still runs; it is resumed by the next study."""
        self.is_stopped = True
        for process in self.processes.values():
            process.terminate()
        self.threads.shutdown()

    def execute(self, run: StudyRun) -> Optional[FailedRun]:
        """Train and test; return what went wrong."""
        run.work_dir.mkdir(parents=True, exist_ok=True)
        trained = run.work_dir / 'trained'
        device = self.devices.get()
        try:
            if not trained.is_file():
                if self.call(run, device, 'train.py', run.config, '--resume'):
                    return _failure(run)
                trained.touch()
            checkpoint = run.work_dir / 'last_checkpoint'
            if self.call(
                    run, device, 'test.py', run.config,
                    checkpoint.read_text().strip(), '--cfg-options',
                    f'test_evaluator.outfile_prefix={run.work_dir}/unfinished'
            ):
                return _failure(run)
            for path in run.work_dir.glob('unfinished.*.json'):
                os.replace(path, run.work_dir / path.name.replace(
                    'unfinished', 'detections'))
        except OSError as error:
            return FailedRun(run, log_file(run), str(error))
        finally:
            self.devices.put(device)
        return None

    def call(self, run: StudyRun, device: Optional[str], tool: str,
             *args: Union[str, Path]) -> int:
        """Run a tool of MMDetection and return its exit status."""
        if self.is_stopped:
            return 1
        environment = dict(os.environ)
        if device is not None:
            environment['CUDA_VISIBLE_DEVICES'] = device
        command = [sys.executable, '-c', TOOL.format(tool), *map(str, args),
                   '--work-dir', str(run.work_dir)]
        with log_file(run).open('ab') as log:
            # Whoever holds the lock works on the study, this process or, if
            # it is killed, the training that it leaves behind.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment, pass_fds=[self.lock])
            self.processes[run] = process
            return process.wait()


def log_file(run: StudyRun) -> Path:
    """Return the file with all that a run prints.

    Args:
        run (StudyRun): The run.
    """
    return run.work_dir / 'output.log'


def describe_progress(run: StudyRun) -> str:
    """Return where a run stands, such as "SGE 0 train [120/400] eta: 0:02".

    Args:
        run (StudyRun): The run.
    """
    found = PROGRESS.findall(_end(log_file(run)))
    return ' '.join([run.name, str(run.seed), *filter(None, found[-1])]
                    if found else [run.name, str(run.seed), 'starts'])


def _failure(run: StudyRun) -> FailedRun:
    lines = _end(log_file(run)).strip().splitlines()
    return FailedRun(run, log_file(run), '\n'.join(lines[-3:]))


def _end(path: Path, size: int = 8192) -> str:
    if not path.is_file():
        return ''
    with path.open('rb') as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read().decode(errors='replace')


@contextmanager
def _lock(work_dir: Path) -> Iterator[int]:
    work_dir.mkdir(parents=True, exist_ok=True)
    with (work_dir / 'lock').open('w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RuntimeError(
                f'Another study, or a training that it left behind, works in '
                f'{work_dir}; wait for it or end it') from error
        yield file.fileno()
