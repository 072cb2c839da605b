"""The command ``sge-mmdet new-config``, once its arguments are parsed."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import List, Optional

from ..conversion import (
    Batch,
    NewConfig,
    add_sge,
    write_new_config,
)
from ..datasets import OwnData, read_own_data
from ..utils import quiet_log
from .common import reported_errors


@reported_errors()
def run(options: argparse.Namespace) -> None:
    """Write the config; print it and the next commands."""
    data = read_own_data(
        options.train,
        options.val,
        options.images,
        options.val_images,
        options.val_fraction,
        options.seed or 0,
    )
    sge = None
    if options.sge:
        sge = dict(where=options.where) if options.where else {}
    new = write_new_config(
        options.base,
        options.out,
        data,
        Batch(options.gpus, options.batch_size),
        sge,
        options.overwrite,
    )
    print(f'# {new.path}\n{new.path.read_text(encoding="utf-8")}')
    print('\n'.join(new.notes))
    lines = next_commands(new, data, options, options.program)
    print('\n' + '\n'.join(lines))


def next_commands(
    new: NewConfig,
    data: OwnData,
    options: argparse.Namespace,
    program: Optional[str] = None,
) -> List[str]:
    """Return the commands that follow, with a line above each group.

    Args:
        new (NewConfig): The config that was written.
        data (OwnData): Its data.
        options (argparse.Namespace): Options of the command.
        program (str, optional): Name of the console command. Default: None,
            the scripts beside the one that runs.
    """
    steps = _Steps(new, data, options, program)
    lines = ['Train and evaluate:', *steps.run(new.path)]
    if options.sge:
        other = new.path.with_name(f'{new.path.stem}_plain.py')
        make, pair = steps.plain(other), (other, new.path)
        title = 'The same without SGE, and the comparison:'
    else:
        other = new.path.with_name(f'{new.path.stem}_sge.py')
        try:
            with quiet_log():
                add_sge(new.cfg)
        except ValueError as error:
            reason = str(error).splitlines()[0]
            return [*lines, f'SGE cannot be added to it: {reason}']
        make = steps.line('add-sge', new.path, '-o', other)
        pair = (new.path, other)
        title = 'The same with SGE, and the comparison:'
    return [*lines, title, make, *steps.run(other), steps.compare(*pair)]


class _Steps:
    """Commands as a shell takes them."""

    def __init__(
        self,
        new: NewConfig,
        data: OwnData,
        options: argparse.Namespace,
        program: Optional[str],
    ) -> None:
        self.new, self.data, self.options = new, data, options
        self.program = program

    def line(self, command: str, *words: object) -> str:
        """Return the line of a command of this package."""
        script = Path(sys.argv[0]).parent / f'{command.replace("-", "_")}.py'
        start = [self.program, command] if self.program else ['python', script]
        return shlex.join(map(str, (*start, *words)))

    def run(self, config: Path) -> List[str]:
        """Return the lines that train and evaluate a config."""
        train = self.line('train', config)
        if self.options.gpus > 1:
            words = ['torchrun', f'--nproc_per_node={self.options.gpus}']
            run = train.partition(' ')[2]
            start = '-m sge_mmdet ' if self.program else ''
            train = f'{shlex.join(words)} {start}{run} --launcher pytorch'
        return [
            train,
            self.line(
                'evaluate',
                config,
                self._work_dir(config) / self._checkpoint(),
                '--images',
                self.data.val.images,
                '--out-dir',
                self._work_dir(config) / 'evaluation',
            ),
        ]

    def plain(self, config: Path) -> str:
        """Return the line that writes the config without SGE."""
        options, data = self.options, self.data
        words = [
            *(options.base, '--train', self.new.train, '--val', self.new.val),
            *('--images', data.train.images),
        ]
        if data.val.images != data.train.images:
            words += ['--val-images', data.val.images]
        if options.gpus > 1:
            words += ['--gpus', options.gpus]
        if options.batch_size:
            words += ['--batch-size', options.batch_size]
        return self.line('new-config', *words, '-o', config)

    def compare(self, plain: Path, sge: Path) -> str:
        """Return the line that compares the results of two configs."""
        results = [
            self._work_dir(config) / 'evaluation' / 'detections.bbox.json'
            for config in (plain, sge)
        ]
        return self.line(
            'compare',
            *results,
            *('--ground-truth', self.new.val, '--names', 'plain', 'SGE'),
            *('--out-dir', self._work_dir(sge) / 'comparison'),
        )

    def _work_dir(self, config: Path) -> Path:
        """Return the work directory that MMDetection's tool takes."""
        return Path(self.new.cfg.get('work_dir') or f'work_dirs/{config.stem}')

    def _checkpoint(self) -> str:
        """Return the name of the last checkpoint."""
        loop = self.new.cfg.train_cfg
        if loop.get('type') == 'IterBasedTrainLoop' or 'max_iters' in loop:
            return f'iter_{loop.max_iters}.pth'
        return f'epoch_{loop.max_epochs}.pth'
