"""The command ``sge-mmdet run-study``, once its arguments are parsed."""

import argparse
import shlex
import signal
import sys
from typing import List, Sequence, Tuple

from ..evaluation.protocols import Protocol
from ..study import (
    FailedRun,
    StudyRun,
    plan_sizes,
    plan_study,
    report_figures,
    resample_runs,
    run_study,
)
from ..study.archive import archive_runs, read_archive
from ..study.files import STUDY_FILES, describe_study, write_study
from ..study.page import write_run_pages
from ..study.report import small_figure
from ..study.slurm import run_study_on_slurm
from ..utils import Writer
from .common import exit_at_failures, reported_errors
from .size_options import (
    choose_protocol,
    group_files,
    read_sized_ground_truth,
)


@reported_errors()
def run(options: argparse.Namespace) -> None:
    """Run the rest of the study and report on it."""
    # On SIGTERM, stop the trainings as on Ctrl-C.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        failed = _run(options)
    except KeyboardInterrupt:
        sys.exit('error: interrupted; the same command continues the study')
    finally:
        # A process that goes on, and those that it forks, end on it as before.
        signal.signal(signal.SIGTERM, before)
    if failed:
        exit_at_failures(
            [f'{len(failed)} runs failed; the same command tries them again']
        )


def _run(options: argparse.Namespace) -> List[FailedRun]:
    """Run the study and report on it; return the runs that failed."""
    inputs = [*options.configs, *group_files(options)]
    writer = Writer(options.overwrite, inputs, renews=True)
    writer.check(*(options.work_dir / name for name in STUDY_FILES))
    # Mistakes are told before the trainings.
    _check(options)
    protocol = choose_protocol(options)
    if options.configs:
        runs, failed = _train(options)
    else:
        runs, failed = read_archive(options.archive), []
    for failure in failed:
        print(
            f'{failure.run.name}, seed {failure.run.seed}, failed, see '
            f'{failure.log}:\n{failure.end}\n',
            file=sys.stderr,
        )
    _report(options, runs, protocol, writer)
    return failed


def _check(options: argparse.Namespace) -> None:
    """Raise if options exclude each other, or one is out of its range."""
    if not options.configs and not options.archive:
        raise ValueError(
            'expected configs to train, or --archive with the folder of a '
            "study's results to report on"
        )
    if options.slurm and options.gpus:
        raise ValueError(
            '--gpus chooses GPUs of this machine, and --slurm runs the study '
            "elsewhere; ask for GPUs with --slurm-args='--gres=gpu:1'"
        )
    if not options.target > 0:
        raise ValueError(
            '--target: expected a positive number of points, got '
            f'{options.target:g}'
        )


def _train(
    options: argparse.Namespace,
) -> Tuple[List[StudyRun], List[FailedRun]]:
    """Return the runs, trained as far as they should be, and failures."""
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
    trains = not (options.report_only or options.plan)
    failed = _run_rest(runs, options) if trains else []
    if options.archive:
        writer = Writer(options.overwrite, options.configs, renews=True)
        added = archive_runs(runs, options.archive, writer)
        print(f'{options.archive}: {added} results added')
    return runs, failed


def _run_rest(
    runs: Sequence[StudyRun], options: argparse.Namespace
) -> List[FailedRun]:
    """Run what has no result yet, here or on a cluster."""
    if options.slurm:
        return run_study_on_slurm(
            runs,
            options.work_dir,
            options.slurm,
            options.jobs,
            shlex.split(options.slurm_args),
        )
    jobs = 1 if options.jobs is None else options.jobs
    return run_study(runs, options.work_dir, options.gpus, jobs)


def _report(
    options: argparse.Namespace,
    runs: Sequence[StudyRun],
    protocol: Protocol,
    writer: Writer,
) -> None:
    ground_truth, _ = read_sized_ground_truth(
        runs[0].ground_truth, options, runs[0].classes
    )
    figures = resample_runs(
        runs, ground_truth, protocol, options.resamples, progress=True
    )
    if options.plan:
        plan = plan_sizes(
            figures, runs[0].name, small_figure(figures), options.target
        )
        print(f'{plan.table().text()}\n\n{plan.text()}')
        return
    report = report_figures(figures, runs[0].name)
    print(f'{report.table().text()}\n\n{describe_study(report, runs)}')
    if options.run_reports:
        write_run_pages(runs, ground_truth, protocol, writer)
    write_study(report, runs, options.work_dir, writer)
    print(
        f'written to {options.work_dir}; look at '
        f'{options.work_dir / "report.html"}'
    )
