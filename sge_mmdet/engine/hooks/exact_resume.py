"""Exact resume: a resumed run equals one that was never interrupted.

In MMEngine a resumed run differs from an uninterrupted one, because the random
numbers (for RoI sampling, dropout and augmentation) start from the seed again.
:class:`ExactResumeHook` makes them depend only on the seed and the iteration.
A process that is killed while it writes a checkpoint leaves an incomplete
file; :func:`find_whole_checkpoint` skips it.
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

# Excludes best_*.pth, which have no state of the optimizer.
CHECKPOINT_NAME = re.compile(r'(?:iter|epoch)_(\d+)\.pth')


@register(HOOKS)
class ExactResumeHook(Hook):
    """Make a resumed run bit-for-bit equal to an uninterrupted one.

    All random generators are seeded before each batch, or before each epoch in
    epoch-based training, which can be resumed only between epochs. The seed is
    mixed from that of the config and the batch or epoch index. Checkpoints
    need no additional contents.

    The number of processes and of data-loader workers must stay the same.

    Raises:
        ValueError: When training starts, if the config sets no seed or
            accumulates gradients over several batches (a checkpoint does not
            contain partial sums), if epoch-based training has persistent
            workers (their random state is not in a checkpoint), or if
            MMEngine is a fork that skips batches in another way.

    Examples:
        >>> randomness = dict(seed=0)
        >>> custom_hooks = [dict(type='ExactResumeHook')]
    """

    def before_train(self, runner: Runner) -> None:
        """Check the config, and seed before each batch from now on.

        Args:
            runner (Runner): Runner of the training.
        """
        if runner._randomness_cfg.get('seed') is None:
            raise ValueError(
                'ExactResumeHook needs a seed for the order of the images, '
                'got seed=None; set randomness=dict(seed=0)'
            )
        count = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        if count > 1:
            raise ValueError(
                'ExactResumeHook expects accumulative_counts=1, got '
                f'accumulative_counts={count}: a checkpoint does not contain '
                'accumulated gradients; set '
                'optim_wrapper.accumulative_counts=1, or remove the hook'
            )
        loop = runner.train_loop
        if hasattr(getattr(loop, 'dataloader_iterator', None), 'skip_iter'):
            raise ValueError(
                'ExactResumeHook does not support training by iterations '
                'with this MMEngine (onedl-mmengine), which skips batches '
                'without drawing them; train by epochs, or remove the hook'
            )
        if hasattr(loop, 'dataloader_iterator'):
            loop.dataloader_iterator = _SeededBatches(
                loop.dataloader_iterator, runner.seed
            )
        elif loop.dataloader.persistent_workers:
            raise ValueError(
                'ExactResumeHook needs new data-loader workers in each epoch, '
                'got persistent_workers=True; set '
                'train_dataloader.persistent_workers=False'
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed before an epoch.

        Args:
            runner (Runner): Runner of the training.
        """
        seed_all(runner.seed, runner.epoch)


class _SeededBatches:
    """Iterator that seeds the random generators before each batch."""

    def __init__(self, batches: Iterator[Any], seed: int) -> None:
        self.batches = batches
        self.seed = seed
        self.number = 0

    def __iter__(self) -> '_SeededBatches':
        return self

    def __next__(self) -> Any:
        # MMEngine draws the batches before a resumed iteration one by one, so
        # they are counted as well.
        seed_all(self.seed, self.number)
        self.number += 1
        return next(self.batches)


def seed_all(seed: int, number: int) -> None:
    """Seed Python's, numpy's and PyTorch's random generators.

    Args:
        seed (int): Seed of the run; not negative.
        number (int): Batch or epoch index mixed into the seed; not negative.
    """
    mixed = int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
    random.seed(mixed)
    np.random.seed(mixed)
    torch.manual_seed(mixed)


def find_whole_checkpoint(work_dir: Union[str, Path]) -> Optional[Path]:
    """Make ``last_checkpoint`` name a complete checkpoint.

    MMEngine does not write checkpoints and the file ``last_checkpoint``, which
    names the last one, atomically. If the named checkpoint is missing or
    incomplete, a complete one is named instead: that of the same name in
    ``work_dir``, which may have been moved, or the newest one.

    Args:
        work_dir (str or Path): Work directory of a run.

    Returns:
        Path or None: Checkpoint that is named now; None if nothing changed,
        or the run has no checkpoint yet.

    Raises:
        FileNotFoundError: If ``last_checkpoint`` exists, but no checkpoint is
            complete.
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
        # Other processes of the run write the same content at the same time.
        Writer(overwrite=True).write(pointer, str(newest))
        print_log(
            f'{pointer} names no complete checkpoint ({named!r}); resuming '
            f'from {newest}'
        )
        return newest
    if pointer.is_file():
        raise FileNotFoundError(
            f'{pointer} names no complete checkpoint ({named!r}), and there '
            f'is none in {" or ".join(map(str, folders))}; remove {pointer} '
            'to train from the start'
        )
    return None


def _is_whole(path: Path) -> bool:
    """Return whether a checkpoint is complete."""
    if path.name and path.is_dir():  # DeepSpeed writes folders.
        return True
    try:
        # The directory of a zip file is at its end.
        zipfile.ZipFile(path).close()
    except (OSError, zipfile.BadZipFile):
        return False
    return True
