"""The command ``sge-mmdet run-study``, once its arguments are parsed."""

import argparse
import signal
import sys
from typing import List, Sequence

from ..study import FailedRun, StudyRun, plan_study, report_study, run_study
from ..study.files import STUDY_FILES, describe_study, write_study
from ..study.page import write_run_pages
from ..utils import Writer
from .common import (
    exit_at_failures,
    reported_errors,
)
from .size_options import (
    find_max_dets,
    group_files,
    read_sized_ground_truth,
)


@reported_errors()
def run(options: argparse.Namespace) -> None:
    """Run the rest of the study and report on it."""
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
        options.same_start,
    )
    failed = []
    if not options.report_only:
        failed = run_study(
            runs, options.work_dir, options.gpus, options.jobs
        )
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
