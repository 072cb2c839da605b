"""Trials in processes, of which a file may end one."""

import multiprocessing
import resource
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Iterator, Sequence

from .trials import DEFECT, Trial, fuzz, kind_of

# A file that asks for more memory than this has asked for too much.
MEMORY = 6 * 2**30


def fuzz_in_processes(
    numbers: Sequence[int], processes: int
) -> Iterator[Trial]:
    """Try edited files in several processes, in no certain order.

    A file that ends its process is a defect; another process takes up the
    files after it.

    Args:
        numbers (Sequence[int]): Of the trials.
        processes (int): How many at once.
    """
    done: SimpleQueue[Trial] = SimpleQueue()
    with ThreadPoolExecutor(processes) as pool:
        runs = [
            pool.submit(_supervise, numbers[i::processes], done)
            for i in range(processes)
        ]
        for _ in numbers:
            yield done.get()
        for run in runs:
            run.result()


def _supervise(numbers: Sequence[int], done: 'SimpleQueue[Trial]') -> None:
    context = multiprocessing.get_context('spawn')
    while numbers:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(numbers, theirs))
        process.start()
        theirs.close()
        tried = 0
        try:
            while tried < len(numbers):
                done.put(ours.recv())
                tried += 1
        except EOFError:
            process.join()
            number = numbers[tried]
            done.put(
                Trial(
                    number,
                    kind_of(number),
                    DEFECT,
                    'it ended the process, with the status '
                    f'{process.exitcode}; see above',
                )
            )
            tried += 1
        process.join()
        numbers = numbers[tried:]


def _work(numbers: Sequence[int], sink: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    for trial in fuzz(numbers):
        sink.send(trial)
