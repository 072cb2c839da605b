#!/usr/bin/env python3
"""Train and evaluate for long in one process; fail if its memory grows.

A detector of the demo, on small images that are made for it.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from memory_growth import (
    growing_phases,
    memory_table,
    soak_detector,
)
from mmengine.config import Config

from sge_mmdet.datasets import DigitsOptions, make_digits
from sge_mmdet.utils import quiet_log

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
SIZE = 64


def small_config(config: Path, folder: Path, workers: int) -> Config:
    """Return a config of the demo on a data set that is made in a folder."""
    data = folder / 'digits'
    make_digits(
        data,
        DigitsOptions(
            train_images=16, val_images=2, image_size=SIZE, max_digit=SIZE
        ),
    )
    cfg = Config.fromfile(config)
    cfg.work_dir = str(folder / 'work')
    cfg.visualizer.name = str(folder)
    cfg.log_level = 'ERROR'
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.num_workers = workers
        loader.persistent_workers = workers > 0
        loader.dataset.data_root = f'{data}/'
        loader.dataset.pipeline[2].scale = (SIZE, SIZE)
    cfg.val_evaluator = dict(
        type='SmallObjectMetric', ann_file=f'{data}/annotations/val.json'
    )
    return cfg


def main() -> None:
    """Print the memory over time, and a verdict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--config',
        type=Path,
        help='one of the demo',
        default=DEMO / 'faster-rcnn_r50-w16-sge_fpn_400i_digits.py',
    )
    parser.add_argument('--iterations', type=int, default=500)
    parser.add_argument('--evaluations', type=int, default=2000)
    parser.add_argument(
        '--workers',
        type=int,
        default=2,
        help='processes that load data, for each data set',
    )
    parser.add_argument(
        '--samples',
        type=int,
        default=10,
        help='how often to look, in each phase',
    )
    parser.add_argument(
        '--slack', type=float, default=32, help='growth that is none, in MiB'
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cfg = small_config(args.config, Path(folder), args.workers)
        with quiet_log():
            samples = soak_detector(
                cfg, args.iterations, args.evaluations, args.samples
            )
    print(memory_table(samples).text())
    growing = growing_phases(samples, args.slack)
    if growing:
        sys.exit(
            'error: memory grows: '
            + '; '.join(f'{phase} {what}' for phase, what in growing.items())
        )
    print('Memory does not grow.')


if __name__ == '__main__':
    main()
