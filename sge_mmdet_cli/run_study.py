"""Train configs with several seeds and compare them.

Every config is compared with the first one, the baseline. Runs that already
have a result are not repeated: after an interruption, the same command
continues the study, and with more configs or seeds it extends the study.
"""

import argparse
from pathlib import Path
from typing import Optional, Sequence

from .options import (
    add_config_values,
    add_group_option,
    add_overwrite_option,
    add_protocol_option,
    add_size_options,
    create_parser,
)
from .running import run_command


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the options."""
    parser = create_parser('run-study', __doc__, args)
    parser.add_argument(
        'configs',
        nargs='*',
        help='configs with the same test data, the baseline first; none to '
        'report on an archive',
    )
    parser.add_argument(
        '--seeds',
        nargs='+',
        type=int,
        default=[0, 1, 2],
        help='random seeds that each config is trained with; default: 0 1 2',
    )
    parser.add_argument(
        '--names',
        nargs='+',
        help='names of the configs in tables; default: their file names',
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        default='work_dirs/study',
        help='folder of the study; default: %(default)s',
    )
    _add_run_options(parser)
    add_size_options(parser)
    add_protocol_option(parser)
    add_group_option(parser)
    add_overwrite_option(parser, renews=True)
    return parser.parse_args(args)


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the trainings and of the report."""
    parser.add_argument(
        '--gpus',
        nargs='+',
        default=[],
        metavar='GPU',
        help='GPUs, by their names in CUDA_VISIBLE_DEVICES; each trains '
        '--jobs runs at a time; default: the default device',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        help='number of runs at a time on each device; default: 1, and as '
        'many as the cluster allows with --slurm',
    )
    parser.add_argument(
        '--slurm',
        metavar='PARTITION',
        help='run the study as a job array on this partition of a Slurm '
        'cluster, and wait for it',
    )
    parser.add_argument(
        '--slurm-args',
        default='',
        metavar='WORDS',
        help="options of sbatch, such as --slurm-args='--gres=gpu:1 "
        "--cpus-per-task=5 --time=24:00:00'",
    )
    parser.add_argument(
        '--same-start',
        action='store_true',
        help="start all configs with the first one's weights, where names "
        'and shapes agree, so that trainings of one seed differ by their '
        'models alone',
    )
    add_config_values(parser, 'values to change in every config')
    parser.add_argument(
        '--resamples',
        type=int,
        default=1000,
        help='number of bootstrap resamples of the images; default: 1000',
    )
    parser.add_argument(
        '--report-only',
        action='store_true',
        help='train nothing, and report on the existing results',
    )
    parser.add_argument(
        '--archive',
        type=Path,
        metavar='FOLDER',
        help='also keep small copies of the results in this folder, without '
        'weights; without configs, report on those in it',
    )
    parser.add_argument(
        '--plan',
        action='store_true',
        help='train nothing, and tell how many seeds and test images a study '
        'needs, by the spread of the existing results',
    )
    parser.add_argument(
        '--target',
        type=float,
        default=0.7,
        help='how far the 95 %% interval of a planned study may reach to '
        'either side, in points of AP on small objects; default: 0.7',
    )
    parser.add_argument(
        '--run-reports',
        action='store_true',
        help='also write report.html for each run, which that of the study '
        'leads to; some 6 MB each',
    )


def main(args: Optional[Sequence[str]] = None) -> None:
    """Parse the arguments and run the command."""
    run_command('run-study', parse_args(args))
