"""Whether a process that runs for long keeps more and more memory."""

import gc
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from tqdm import tqdm

from sge_mmdet.utils.tables import Table

MIB = 2**20


@dataclass(frozen=True)
class MemorySample:
    """What a process holds at one moment.

    Attributes:
        phase: What it repeats, such as "evaluation".
        steps: How often it has.
        resident: Memory of the process, in MiB.
        tensors: Number of tensors that Python knows.
    """

    phase: str
    steps: int
    resident: float
    tensors: int


def sample_memory(phase: str, steps: int) -> MemorySample:
    """Return what this process holds, garbage not counted. Linux only.

    Args:
        phase (str): What the process repeats.
        steps (int): How often it has.
    """
    gc.collect()
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return MemorySample(
        phase,
        steps,
        pages * os.sysconf('SC_PAGE_SIZE') / MIB,
        sum(
            issubclass(type(thing), torch.Tensor) for thing in gc.get_objects()
        ),
    )


def soak(
    phase: str, step: Callable[[], Any], steps: int, samples: int = 10
) -> Iterator[MemorySample]:
    """Repeat something and look at the memory in between.

    Args:
        phase (str): What is repeated.
        step (Callable): It.
        steps (int): How often.
        samples (int): How often to look, evenly spread. Default: 10.

    Yields:
        MemorySample: What is held after some steps.
    """
    interval = max(1, steps // samples)
    for i in tqdm(range(1, steps + 1), desc=phase):
        step()
        if i % interval == 0:
            yield sample_memory(phase, i)


class MemoryHook(Hook):
    """Look at the memory while a training of MMEngine runs, with a bar.

    Args:
        interval (int): Iterations between two looks.

    Attributes:
        samples (list[MemorySample]): What was seen.
    """

    priority = 'LOWEST'

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.samples: List[MemorySample] = []

    def before_train(self, runner: Runner) -> None:
        """Show that it begins.

        Args:
            runner (Runner): Of the training.
        """
        self.bar = tqdm(total=runner.max_iters, desc='training')

    def after_train(self, runner: Runner) -> None:
        """Show that it ended.

        Args:
            runner (Runner): Not used.
        """
        self.bar.close()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Look, every so many iterations.

        Args:
            runner (Runner): Of the training.
            batch_idx (int): Not used.
            data_batch (optional): Not used. Default: None.
            outputs (dict, optional): Not used. Default: None.
        """
        self.bar.update()
        if self.every_n_train_iters(runner, self.interval):
            self.samples.append(sample_memory('training', runner.iter + 1))


def soak_detector(
    cfg: Config, iterations: int, evaluations: int, samples: int = 10
) -> List[MemorySample]:
    """Train a detector, then evaluate it again and again, in this process.

    Args:
        cfg (Config): Of a training by iterations, with validation data.
        iterations (int): Of the training.
        evaluations (int): How often the validation data is evaluated.
        samples (int): How often to look, in each of the two phases. Default:
            10.

    Returns:
        list[MemorySample]: Of the training, then of the evaluations.
    """
    cfg.train_cfg.update(max_iters=iterations, val_begin=iterations + 1)
    runner = Runner.from_cfg(cfg)
    hook = MemoryHook(max(1, iterations // samples))
    runner.register_hook(hook)
    runner.train()
    return [
        *hook.samples,
        *soak('evaluation', runner.val_loop.run, evaluations, samples),
    ]


def growing_phases(
    samples: Sequence[MemorySample], slack: float = 32
) -> Dict[str, str]:
    """Say which phases hold more at their end than after their first fifth.

    Args:
        samples (Sequence[MemorySample]): Of all phases.
        slack (float): How much more memory is none, for what the allocator
            keeps in pieces; in MiB. Default: 32.

    Returns:
        dict[str, str]: What grew, by phase. Of tensors, one in ten steps is
        growth.
    """
    growing = {}
    for phase in dict.fromkeys(sample.phase for sample in samples):
        of_phase = [sample for sample in samples if sample.phase == phase]
        last = of_phase[-1]
        first = next(
            sample for sample in of_phase if sample.steps >= last.steps / 5
        )
        memory = last.resident - first.resident
        tensors = last.tensors - first.tensors
        if memory > slack or tensors > (last.steps - first.steps) / 10:
            growing[phase] = (
                f'{memory:+.1f} MiB, {tensors:+d} tensors from step '
                f'{first.steps} to {last.steps}'
            )
    return growing


def memory_table(samples: Sequence[MemorySample]) -> Table:
    """Return the samples as a table.

    Args:
        samples (Sequence[MemorySample]): Of all phases.
    """
    return Table(
        ('phase', 'steps', 'MiB', 'tensors'),
        [
            (
                sample.phase,
                sample.steps,
                round(sample.resident),
                sample.tensors,
            )
            for sample in samples
        ],
    )
