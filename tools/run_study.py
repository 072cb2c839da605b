#!/usr/bin/env python3
"""Train configs with several seeds and compare them in one table.

Runs that have a result already are not repeated: the same command goes on
where a study was interrupted, and adds configs and seeds to it. The first
config is what the others are compared with.
"""

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Sequence

from mmengine.config import DictAction

from sge_mmdet.commands.size_options import (
    add_size_options,
    read_sized_ground_truth,
)
from sge_mmdet.study import (
    StudyReport,
    StudyRun,
    plan_study,
    report_study,
    run_study,
)
from sge_mmdet.study.plots import draw_study, draw_study_curves
from sge_mmdet.utils import Writer

WRITTEN = ('study.md', 'study.csv', 'study.json', 'study.png', 'curves.png')


def main() -> None:
    """Run what is left of the study and report on it."""
    args = parse_args()
    # Ended from outside, it ends its trainings as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    failed = []
    writer = Writer(args.overwrite, args.configs, renews=True)
    try:
        writer.check(*(args.work_dir / name for name in WRITTEN))
        runs = plan_study(
            args.configs,
            args.seeds,
            args.work_dir,
            args.names,
            args.cfg_options,
            args.metric,
            args.overwrite,
        )
        if not args.report_only:
            failed = run_study(runs, args.work_dir, args.gpus)
        for failure in failed:
            print(
                f'{failure.run.name}, seed {failure.run.seed}, failed, see '
                f'{failure.log}:\n{failure.end}\n',
                file=sys.stderr,
            )
        ground_truth, bins = read_sized_ground_truth(
            runs[0].ground_truth, args, runs[0].classes
        )
        report = report_study(
            runs, ground_truth, bins, args.resamples, progress=True
        )
        write(report, runs, args.work_dir, writer)
        print(f'written to {args.work_dir}')
    except KeyboardInterrupt:
        sys.exit('interrupted; the same command goes on from here')
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f'error: {error}')
    if failed:
        sys.exit(f'{len(failed)} runs failed; the same command tries again')


def parse_args() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'configs',
        nargs='+',
        help='with the same test data, the baseline first',
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument(
        '--names', nargs='+', help='of the configs; default: their file names'
    )
    parser.add_argument('--work-dir', type=Path, default='work_dirs/study')
    parser.add_argument(
        '--gpus',
        nargs='+',
        default=[],
        metavar='GPU',
        help='train one run on each of these at a time, as '
        'CUDA_VISIBLE_DEVICES calls them; default: one after another',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='options for every config, key=value',
    )
    parser.add_argument('--resamples', type=int, default=1000)
    parser.add_argument(
        '--report-only',
        action='store_true',
        help='train nothing, report on what is there',
    )
    add_size_options(parser)
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace files that are '
        'there, also those that this tool did not write',
    )
    return parser.parse_args()


def write(
    report: StudyReport, runs: Sequence[StudyRun], folder: Path, writer: Writer
) -> None:
    """Print the report and write it, with its pictures."""
    text = f'{report.text()}\n'
    if any(not run.is_done for run in runs):
        text += (
            f'\n{sum(run.is_done for run in runs)} of {len(runs)} '
            'runs have a result.\n'
        )
    print(f'{report.table().text()}\n\n{text}')
    writer.write(folder / 'study.md', f'{report.table().markdown()}\n\n{text}')
    writer.write(folder / 'study.csv', report.csv())
    writer.write(folder / 'study.json', json.dumps(report.to_dict(), indent=1))
    draw_study(report, folder / 'study.png', writer)
    draw_study_curves(runs, folder / 'curves.png', writer)


if __name__ == '__main__':
    main()
