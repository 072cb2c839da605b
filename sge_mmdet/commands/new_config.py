"""Write a short config that trains a detector on your data.

The data is a JSON file in COCO's format, or a folder in the layout of Pascal
VOC (Annotations/*.xml) or YOLO (images, labels, data.yaml). A folder may hold
both splits; --train alone is then enough. At the end the next commands are
printed: training, evaluation, and comparison with and without SGE.
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import List, Optional, Sequence

from ..conversion import (
    Batch,
    NewConfig,
    add_sge,
    write_new_config,
)
from ..datasets import OwnData, read_own_data
from ..utils import quiet_log
from .common import add_overwrite_option, create_parser, reported_errors


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the options."""
    parser = create_parser('new-config', __doc__, args)
    parser.add_argument(
        'base',
        help='config of a detector to inherit: a file, or a config of '
        'MMDetection such as mmdet::faster_rcnn/'
        'faster-rcnn_r50_fpn_1x_coco.py',
    )
    parser.add_argument(
        '-o', '--out', required=True, type=Path, help='config to write'
    )
    _add_data_options(parser)
    parser.add_argument(
        '--batch-size',
        type=int,
        help='images on each GPU in a step; default: that of the base config',
    )
    parser.add_argument(
        '--gpus',
        type=int,
        default=1,
        help='number of GPUs, for which the learning rate is scaled; '
        'default: 1',
    )
    parser.add_argument(
        '--sge', action='store_true', help='add SGE, as tools/add_sge.py does'
    )
    parser.add_argument(
        '--where',
        help='part of the detector that gets SGE; default: that of '
        'tools/add_sge.py',
    )
    add_overwrite_option(parser)
    return parser.parse_args(args)


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the data."""
    parser.add_argument(
        '--train',
        required=True,
        type=Path,
        help="annotations of the training: a JSON file in COCO's format, or "
        'a VOC or YOLO folder',
    )
    parser.add_argument(
        '--val', type=Path, help='annotations of the validation, likewise'
    )
    parser.add_argument(
        '--images',
        type=Path,
        help='folder of the images; needed for COCO files',
    )
    parser.add_argument(
        '--val-images',
        type=Path,
        help="folder of the validation's images; default: that of --images",
    )
    parser.add_argument(
        '--val-fraction',
        type=float,
        help='share of the images of --train to validate with, such as 0.1, '
        'where there is no --val',
    )
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        help='random seed of --val-fraction; default: 0',
    )


@reported_errors()
def main(args: Optional[Sequence[str]] = None) -> None:
    """Write the config; print it and the next commands."""
    options = parse_args(args)
    data = read_own_data(
        options.train,
        options.val,
        options.images,
        options.val_images,
        options.val_fraction,
        options.seed,
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
    program = None if args is None else 'sge-mmdet'
    print('\n' + '\n'.join(next_commands(new, data, options, program)))


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
