"""A study as a page to be explored."""

import contextlib
from pathlib import Path
from typing import List, Optional, Sequence, Union
from urllib.parse import quote

import numpy as np

from ..evaluation import GroundTruth, read_detections
from ..evaluation.interactive import Report
from ..evaluation.interactive.page import render_page
from ..evaluation.protocols import Protocol
from ..evaluation.report import report_evaluation
from ..evaluation.report_files import PAGE
from ..utils import Writer, printable
from ..visualization.training_curves import read_scalars
from .plan import StudyRun
from .plots import CURVES
from .report import StudyReport

# Points of a curve that are drawn.
MOST_POINTS = 400


def study_page(
    report: StudyReport,
    runs: Sequence[StudyRun],
    work_dir: Union[str, Path],
    summary: str,
) -> Report:
    """Return the page of a study.

    Args:
        report (StudyReport): The report.
        runs (Sequence[StudyRun]): All runs of the study.
        work_dir (str or Path): Folder that the page will lie in.
        summary (str): Sentence below the title.

    Raises:
        ImportError: If plotly is not installed.
    """
    names = list(report.values)
    done = [run for run in runs if run.is_done]
    content = dict(
        summary=summary,
        verdict=report.text(),
        small=report.small,
        figures=report.figures,
        configs=[
            dict(
                name=printable(name),
                runs=[
                    _run(report, run, work_dir)
                    for run in done
                    if run.name == name
                ],
            )
            for name in names
        ],
        differences=[
            dict(
                name=printable(comparison.names[1]),
                figure=row.name,
                difference=row.difference,
                low=row.low,
                high=row.high,
            )
            for comparison in report.comparisons
            for row in comparison.sizes
        ],
        curves=[
            curve
            for run in done
            for curve in _curves(run, names.index(run.name))
        ],
    )
    return Report(render_page('Study', content, script='study.js'))


def write_run_pages(
    runs: Sequence[StudyRun],
    ground_truth: GroundTruth,
    protocol: Protocol,
    writer: Writer,
) -> None:
    """Write the page of each run that is done, without pictures.

    Args:
        runs (Sequence[StudyRun]): All runs of the study.
        ground_truth (GroundTruth): Ground truth of the test.
        protocol (Protocol): Rules of the evaluation, with its sizes.
        writer (Writer): Writer of the files.
    """
    for run in runs:
        if not run.is_done:
            continue
        prepared = protocol.prepare(
            ground_truth,
            read_detections(run.detections, ground_truth, run.metric),
            run.metric,
        )
        result = protocol.evaluate(*prepared, run.metric)
        name = f'{run.name}, seed {run.seed}'
        report_evaluation(
            *prepared, result, run.metric, name=name
        ).page().write(run.work_dir / PAGE, writer)


def _run(
    report: StudyReport, run: StudyRun, work_dir: Union[str, Path]
) -> dict:
    """Return the figures of a run, and where its own page lies."""
    page = run.work_dir / PAGE
    link: Optional[str] = None
    with contextlib.suppress(ValueError):
        if page.is_file():
            link = quote(page.relative_to(work_dir).as_posix())
    figures = report.values[run.name][run.seed]
    return dict(
        seed=run.seed,
        report=link,
        figures={name: figures[name] for name in report.figures},
    )


def _curves(run: StudyRun, config: int) -> List[dict]:
    """Return the curves of a run's training, if it has a log."""
    try:
        scalars = read_scalars(run.work_dir)
    except FileNotFoundError:
        return []
    curves = []
    for key, title in CURVES.items():
        # MMDetection logs -1 if there is no such object.
        series = [
            (step, value)
            for step, value in sorted(
                scalars.get(key.format(run.metric), {}).items()
            )
            if value >= 0
        ]
        if series:
            kept = series[:: max(1, len(series) // MOST_POINTS)]
            steps, values = zip(*kept)
            curves.append(
                dict(
                    config=config,
                    seed=run.seed,
                    quantity=title,
                    steps=[int(step) for step in steps],
                    values=[float(np.round(value, 5)) for value in values],
                )
            )
    return curves
