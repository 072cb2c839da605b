"""The figures of a study and its training curves."""

import contextlib
from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..evaluation.plots import draw_difference
from ..utils import RENEWING, Writer
from ..utils.figures import plain_text, save_figure
from ..visualization.training_curves import (
    finish_curves,
    read_scalars,
    unit_of_steps,
)
from .plan import StudyRun
from .report import StudyReport

# Titles of what is drawn over training, by the key in MMEngine's log.
CURVES = {
    'loss': 'training loss',
    'coco/{}_mAP': 'validation AP',
    'coco/{}_mAP_s': 'validation AP_small',
}


@plain_text
def draw_study(
    report: StudyReport, out_file: Union[str, Path], writer: Writer = RENEWING
) -> None:
    """Draw the figures of each config and seed, and the differences.

    Args:
        report (StudyReport): Results of the study.
        out_file (str or Path): Picture to write.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.
    """
    figures = [name for name in report.figures if name not in ('AP50', 'AP75')]
    names = list(report.values)
    figure = Figure(
        figsize=(10, 0.8 + len(figures) * (0.7 + 0.26 * len(names))),
        layout='constrained',
    )
    axes = figure.subplots(len(figures), 2, squeeze=False)
    for name, (left, right) in zip(figures, axes):
        _draw_values(left, report, name)
        _draw_differences(right, report, name)
        left.set_title(f'{name}, by config', fontsize=10)
        right.set_title(f'{name}, difference from {names[0]}', fontsize=10)
    axes[-1, 0].set_xlabel('AP in points; dots: seeds, bars: means')
    axes[-1, 1].set_xlabel(
        'points, with 95 % intervals; grey: could be chance\n'
        'small dots: pairs of seeds'
    )
    save_figure(figure, out_file, writer)


def _draw_values(axis: Axes, report: StudyReport, figure: str) -> None:
    names = list(report.values)
    for i, name in enumerate(names):
        values = [100 * seed[figure] for seed in report.values[name].values()]
        axis.plot(
            values, [-i] * len(values), 'o', color=f'C{i % 10}', alpha=0.6
        )
        axis.plot(
            [np.mean(values)] * 2,
            [-i - 0.3, -i + 0.3],
            color=f'C{i % 10}',
            linewidth=2,
        )
    _name_rows(axis, names)


def _draw_differences(axis: Axes, report: StudyReport, figure: str) -> None:
    names = list(report.values)
    axis.axvline(0, color='0.6', linewidth=1)
    for comparison in report.comparisons:
        name = comparison.names[1]
        row, i = comparison[figure], names.index(name)
        if comparison.paired:
            differences = report.pairs(names[0], name, figure)
            axis.plot(
                differences,
                [-i - 0.25] * len(differences),
                '.',
                color='0.6',
                alpha=0.6,
            )
        draw_difference(axis, row, -i)
    _name_rows(axis, names)


def _name_rows(axis: Axes, names: Sequence[str]) -> None:
    axis.set_yticks([-i for i in range(len(names))], names, fontsize=8)
    axis.set_ylim(0.6 - len(names), 0.6)
    axis.grid(axis='x', alpha=0.3)


@plain_text
def draw_study_curves(
    runs: Sequence[StudyRun],
    out_file: Union[str, Path],
    writer: Writer = RENEWING,
    curves: Mapping[str, str] = CURVES,
) -> None:
    """Draw loss and AP over training: the mean and range over the seeds.

    Only runs that are done and have MMEngine's log, ``scalars.json``, are
    drawn.

    Args:
        runs (Sequence[StudyRun]): All runs of the study.
        out_file (str or Path): Picture to write.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.
        curves (Mapping[str, str]): Titles of what is drawn, by the key in the
            log, where "{}" is the metric. Default: loss, AP and AP_small.
    """
    logs: Dict[str, List[dict]] = {}
    for run in runs:
        if run.is_done:
            with contextlib.suppress(FileNotFoundError):
                logs.setdefault(run.name, []).append(
                    read_scalars(run.work_dir)
                )
    figure = Figure(figsize=(14, 4.4), layout='constrained')
    figure.suptitle(
        'mean over the seeds; band: from the minimum to the maximum; '
        'axes of AP do not begin at 0',
        fontsize=10,
    )
    axes = figure.subplots(1, len(curves), squeeze=False)[0]
    for axis, (key, title) in zip(axes, curves.items()):
        key = key.format(runs[0].metric)
        unit = 'iteration'
        for name, of_seeds in logs.items():
            steps, values = _common_steps(of_seeds, key)
            if len(steps):
                unit = unit_of_steps(of_seeds[0], [key])
                (line,) = axis.plot(
                    steps,
                    values.mean(0),
                    label=f'{name}, {_number(of_seeds)}',
                    marker='o' if len(steps) < 30 else None,
                )
                axis.fill_between(
                    steps,
                    values.min(0),
                    values.max(0),
                    color=line.get_color(),
                    alpha=0.15,
                )
        finish_curves(axis, title, unit)
        if key != 'loss':
            # The ends of a study's curves lie close together.
            axis.autoscale(axis='y')
    save_figure(figure, out_file, writer)


def _number(of_seeds: Sequence[object]) -> str:
    return f'{len(of_seeds)} seed{"s" if len(of_seeds) > 1 else ""}'


def _common_steps(
    of_seeds: Sequence[Dict[str, Dict[int, float]]], key: str
) -> 'tuple[list[int], np.ndarray]':
    """Return the steps that all seeds logged, and a row of values per seed."""
    # MMDetection logs -1 if there is no such object.
    series = [
        {
            step: value
            for step, value in scalars.get(key, {}).items()
            if value >= 0
        }
        for scalars in of_seeds
    ]
    steps = sorted(set.intersection(*map(set, series))) if series else []
    return steps, np.array(
        [[values[step] for step in steps] for values in series]
    )
