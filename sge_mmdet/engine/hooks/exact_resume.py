"""Trainings that stop and go on as if they had not.

A training of MMEngine that is resumed differs from one that never stopped: the
random numbers (of RoI sampling, dropout, augmentation) start from the seed
again. :class:`ExactResumeHook` makes them depend on nothing but the seed and
the iteration. And a process that is killed while it writes a checkpoint
leaves a part of one; :func:`find_whole_checkpoint` passes over it.
"""

import random
import re
import zipfile
from pathlib import Path
from typing import Any, Iterator, Optional, Union

import numpy as np
import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from ...utils import Writer
from ...utils.registration import register

# Not best_*.pth, which have no optimizer.
CHECKPOINT_NAME = re.compile(r'(?:iter|epoch)_(\d+)\.pth')


@register(HOOKS)
class ExactResumeHook(Hook):
    """Let a resumed training be bit for bit the one that never stopped.

    All random generators are seeded anew before each batch, or in an
    epoch-based training, which can be resumed between epochs only, before
    each epoch: from the seed of the config and the number of the batch or
    epoch. No more is needed in a checkpoint than MMEngine writes.

    The number of processes and of data-loader workers must stay the same.

    Raises:
        ValueError: When training starts, if the config sets no seed,
            accumulates gradients over several batches (a checkpoint has no
            half of a sum), MMEngine is a fork that skips batches in another
            way, or the config keeps the workers of an epoch-based training
            from epoch to epoch: what they drew before a stop cannot be known.

    Examples:
        >>> randomness = dict(seed=0)
        >>> custom_hooks = [dict(type='ExactResumeHook')]
    """

    def before_train(self, runner: Runner) -> None:
        """Check the config, and seed before each batch from now on.

        Args:
            runner (Runner): Of the training.
        """
        if runner._randomness_cfg.get('seed') is None:
            raise ValueError(
                'ExactResumeHook needs a seed, for the order of the images; '
                'set randomness=dict(seed=0), got seed=None'
            )
        count = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        if count > 1:
            raise ValueError(
                'ExactResumeHook cannot make a training exact that sums '
                'gradients over batches, of which a checkpoint has nothing; '
                'set optim_wrapper.accumulative_counts=1, or remove the hook; '
                f'got accumulative_counts={count}'
            )
        loop = runner.train_loop
        if hasattr(getattr(loop, 'dataloader_iterator', None), 'skip_iter'):
            raise ValueError(
                'ExactResumeHook cannot make a training by iterations exact '
                'with this MMEngine (onedl-mmengine), which skips batches '
                'without drawing them; remove the hook, or train by epochs'
            )
        if hasattr(loop, 'dataloader_iterator'):
            loop.dataloader_iterator = _SeededBatches(
                loop.dataloader_iterator, runner.seed
            )
        elif loop.dataloader.persistent_workers:
            raise ValueError(
                'ExactResumeHook needs new data-loader workers in each epoch; '
                'set train_dataloader.persistent_workers=False, got True'
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed before an epoch.

        Args:
            runner (Runner): Of the training.
        """
        seed_all(runner.seed, runner.epoch)


class _SeededBatches:
    """Batches, before each of which the random generators are seeded."""

    def __init__(self, batches: Iterator[Any], seed: int) -> None:
        self.batches = batches
        self.seed = seed
        self.number = 0

    def __iter__(self) -> '_SeededBatches':
        return self

    def __next__(self) -> Any:
        # MMEngine skips the batches before a resumed iteration one by one, so
        # that they are counted, too.
        seed_all(self.seed, self.number)
        self.number += 1
        return next(self.batches)


def seed_all(seed: int, number: int) -> None:
    """Seed Python's, numpy's and PyTorch's random generators.

    Args:
        seed (int): Of the training; not negative.
        number (int): Which of its seeds; not negative.
    """
    mixed = int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
    random.seed(mixed)
    np.random.seed(mixed)
    torch.manual_seed(mixed)


def find_whole_checkpoint(work_dir: Union[str, Path]) -> Optional[Path]:
    """Let ``last_checkpoint`` name a whole checkpoint, whatever was killed.

    MMEngine writes checkpoints and the file ``last_checkpoint``, which names
    the last one, in place. If what it names is not there or not whole, a whole
    one takes its place: that of the same name in ``work_dir``, which may have
    been moved, or the newest.

    Args:
        work_dir (str or Path): Of a training.

    Returns:
        Path or None: The checkpoint that was put there; None if what was
        there is right, or the training wrote none yet.

    Raises:
        FileNotFoundError: If there is a ``last_checkpoint`` but no checkpoint
            is whole.
    """
    pointer = Path(work_dir, 'last_checkpoint')
    named = pointer.read_text().strip() if pointer.is_file() else ''
    if '://' in named or _is_whole(Path(named)):
        return None
    folders = dict.fromkeys(
        [Path(work_dir).absolute(), Path(named or pointer).absolute().parent]
    )
    found = sorted(
        (
            path.name == Path(named).name,
            path.stat().st_mtime,
            int(name[1]),
            path,
        )
        for folder in folders
        for path in folder.glob('*.pth')
        for name in [CHECKPOINT_NAME.fullmatch(path.name)]
        if name and _is_whole(path)
    )
    if found:
        newest = found[-1][-1]
        # Other processes of the training do the same at the same time.
        Writer(overwrite=True).write(pointer, str(newest))
        print_log(
            f'No whole checkpoint is named by {pointer} ({named!r}); '
            f'resuming from {newest}'
        )
        return newest
    if pointer.is_file():
        raise FileNotFoundError(
            f'No whole checkpoint is named by {pointer} ({named!r}), nor is '
            f'one in {" or ".join(map(str, folders))}; remove {pointer} to '
            'train from the start'
        )
    return None


def _is_whole(path: Path) -> bool:
    """Return whether a checkpoint was written to its end."""
    if path.name and path.is_dir():  # As DeepSpeed writes them.
        return True
    try:
        # Its table of contents stands at the end of the file.
        zipfile.ZipFile(path).close()
    except (OSError, zipfile.BadZipFile):
        return False
    return True
