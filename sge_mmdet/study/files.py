"""The report of a study as files in its work directory."""

import json
from pathlib import Path
from typing import Sequence, Union

from ..evaluation.report_files import PAGE
from ..utils import RENEWING, Writer
from .machines import describe_unlike_pairs
from .page import study_page
from .plan import StudyRun
from .plots import draw_study, draw_study_curves
from .report import StudyReport

STUDY_FILES = (
    'study.md',
    'study.csv',
    'study.json',
    'study.png',
    'curves.png',
    PAGE,
)


def describe_study(report: StudyReport, runs: Sequence[StudyRun]) -> str:
    """Return the findings of a study, and what is to be known about its runs.

    That is how many results are missing, and which pairs are of different
    machines.

    Args:
        report (StudyReport): The report.
        runs (Sequence[StudyRun]): All runs of the study.
    """
    text = f'{report.text()}\n'
    done = sum(run.is_done for run in runs)
    if done < len(runs):
        text += f'\n{done} of {len(runs)} runs have a result.\n'
    unlike = describe_unlike_pairs(runs)
    return f'{text}\n{unlike}\n' if unlike else text


def write_study(
    report: StudyReport,
    runs: Sequence[StudyRun],
    work_dir: Union[str, Path],
    writer: Writer = RENEWING,
) -> None:
    """Write a study's report as Markdown, CSV, JSON, pictures and a page.

    Args:
        report (StudyReport): The report.
        runs (Sequence[StudyRun]): All runs of the study.
        work_dir (str or Path): Folder to write to.
        writer (Writer): Writer of the files. Default: one that replaces only
            files that this package wrote.

    Raises:
        OSError: If a file cannot be written.
    """
    as_markdown, as_csv, as_json, picture, curves, page = (
        Path(work_dir, name) for name in STUDY_FILES
    )
    table = report.table().markdown()
    writer.write(as_markdown, f'{table}\n\n{describe_study(report, runs)}')
    writer.write(as_csv, report.csv())
    writer.write(as_json, json.dumps(report.to_dict(), indent=1))
    draw_study(report, picture, writer)
    draw_study_curves(runs, curves, writer)
    done = sum(run.is_done for run in runs)
    summary = f'{done} of {len(runs)} runs have a result.'
    summary = f'{summary} {describe_unlike_pairs(runs)}'.strip()
    study_page(report, runs, work_dir, summary).write(page, writer)
