"""Train configs with several seeds and compare them.

Every config is compared with the first one, the baseline. Runs that already
have a result are not repeated: after an interruption, the same command
continues the study, and with more configs or seeds it extends the study.
"""

import argparse
import signal
import sys
from pathlib import Path
from typing import List, Optional, Sequence

from mmengine.config import DictAction

from ..study import FailedRun, StudyRun, plan_study, report_study, run_study
from ..study.files import STUDY_FILES, describe_study, write_study
from ..study.page import write_run_pages
from ..utils import Writer
from .common import (
    add_overwrite_option,
    create_parser,
    exit_at_failures,
    reported_errors,
)
from .size_options import (
    add_group_option,
    add_size_options,
    find_max_dets,
    group_files,
    read_sized_ground_truth,
)


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the options."""
    parser = create_parser('run-study', __doc__, args)
    parser.add_argument(
        'configs',
        nargs='+',
        help='configs with the same test data, the baseline first',
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
        help='GPUs, by their names in CUDA_VISIBLE_DEVICES; each trains one '
        'run at a time; default: all runs one after another on the default '
        'device',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='values to change in every config',
    )
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
        '--run-reports',
        action='store_true',
        help='also write report.html for each run, which that of the study '
        'leads to; some 6 MB each',
    )


@reported_errors()
def main(args: Optional[Sequence[str]] = None) -> None:
    """Run the rest of the study and report on it."""
    options = parse_args(args)
    # On SIGTERM, stop the trainings as on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        failed = _run(options)
    except KeyboardInterrupt:
        sys.exit('error: interrupted; the same command continues the study')
    if failed:
        exit_at_failures(
            [f'{len(failed)} runs failed; the same command tries them again']
        )


def _run(options: argparse.Namespace) -> List[FailedRun]:
    """Run the study and report on it; return the runs that failed."""
    inputs = [*options.configs, *group_files(options)]
    writer = Writer(options.overwrite, inputs, renews=True)
    writer.check(*(options.work_dir / name for name in STUDY_FILES))
    # A mistake is told before the trainings.
    max_dets = find_max_dets(options)
    runs = plan_study(
        options.configs,
        options.seeds,
        options.work_dir,
        options.names,
        options.cfg_options,
        options.metric,
        options.overwrite,
    )
    failed = []
    if not options.report_only:
        failed = run_study(runs, options.work_dir, options.gpus)
    for failure in failed:
        print(
            f'{failure.run.name}, seed {failure.run.seed}, failed, see '
            f'{failure.log}:\n{failure.end}\n',
            file=sys.stderr,
        )
    _report(options, runs, max_dets, writer)
    return failed


def _report(
    options: argparse.Namespace,
    runs: Sequence[StudyRun],
    max_dets: int,
    writer: Writer,
) -> None:
    ground_truth, bins = read_sized_ground_truth(
        runs[0].ground_truth, options, runs[0].classes
    )
    report = report_study(
        runs,
        ground_truth,
        bins,
        options.resamples,
        progress=True,
        max_dets=max_dets,
    )
    print(f'{report.table().text()}\n\n{describe_study(report, runs)}')
    if options.run_reports:
        write_run_pages(runs, ground_truth, bins, max_dets, writer)
    write_study(report, runs, options.work_dir, writer)
    print(
        f'written to {options.work_dir}; look at '
        f'{options.work_dir / "report.html"}'
    )
