#!/usr/bin/env python3
"""Write the table and the pictures of docs/study.md from the study's results.

The results of all runs are archives below ``docs/results/study``. What is
compared, with how many seeds, and which p-values are adjusted together, is in
docs/study-protocol.md. A comparison that lacks runs is left out, so that
nobody decides by a part of it when to stop.
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from matplotlib.figure import Figure

from sge_mmdet.evaluation import (
    Difference,
    parse_size_bins,
    read_ground_truth,
)
from sge_mmdet.evaluation.intervals import holm
from sge_mmdet.evaluation.plots import draw_difference
from sge_mmdet.evaluation.protocols import find_protocol
from sge_mmdet.study import (
    StudyReport,
    StudyRun,
    report_figures,
    resample_runs,
)
from sge_mmdet.study.archive import ANNOTATIONS, read_archive
from sge_mmdet.study.plots import CURVES, draw_study_curves
from sge_mmdet.utils import Writer
from sge_mmdet.utils.figures import save_figure
from sge_mmdet.utils.tables import points
from sge_mmdet.visualization.training_curves import read_scalars

RESULTS = Path(__file__).resolve().parents[2] / 'docs' / 'results'
# Words of --size-bins. A network sees blood cells at a quarter of their size.
SIZES = dict(
    finetune=['coco'], scratch=['coco'], bccd=['0', '128', '384', 'inf']
)
TITLES = dict(
    finetune='fine-tuning', scratch='from scratch', bccd='blood cells'
)
# The comparisons with none, and their numbers of seeds.
PRIMARY = [('finetune', 'SGE preserved', 30), ('scratch', 'SGE', 20)]
SECONDARY = [
    ('finetune', 'SGE not preserved', 12),
    ('scratch', 'SE', 12),
    ('scratch', 'SGE without normalisation', 12),
    ('bccd', 'SGE', 12),
]
# Archive of trainings of none that were done again on another machine, with
# the others of their seeds; see "Deviations" of docs/study.md.
AGAIN, SECOND = 'second_machine', 'none, second machine'
COLUMNS = [
    'question',
    'setting',
    'compared with none',
    'seeds',
    'AP_small, none',
    'AP_small',
    'difference',
    '95 % interval',
    'p',
    'p, adjusted',
]


@dataclass(frozen=True)
class Answer:
    """One comparison of the protocol.

    Attributes:
        question: "primary" or "secondary".
        setting: Name of the archive.
        name: Config that is compared with none.
        row: Difference in AP on small objects.
        pairs: Differences of the seeds, in points.
        p: P-value, adjusted among the questions of this kind.
    """

    question: str
    setting: str
    name: str
    row: Difference
    pairs: Sequence[float]
    p: float

    def cells(self) -> List[str]:
        """Return the row of the table."""
        return [
            self.question,
            TITLES[self.setting],
            self.name,
            str(len(self.pairs)),
            f'{self.row.a:.3f}',
            f'{self.row.b:.3f}',
            points(self.row.difference) or '',
            self.row.interval,
            f'{self.row.p:.3f}',
            f'{self.p:.2f}',
        ]


def main() -> None:
    """Compute all answers and write them."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        '--archives', type=Path, default=RESULTS / 'study', help='%(default)s'
    )
    parser.add_argument('--out', type=Path, default=RESULTS)
    parser.add_argument('--date', required=True, help='of the last training')
    parser.add_argument('--hardware', required=True)
    parser.add_argument('--versions', required=True)
    args = parser.parse_args()
    writer = Writer(overwrite=True)
    reports, gains = {}, {}
    for setting in SIZES:
        if not (args.archives / setting / ANNOTATIONS).is_file():
            print(f'{setting}: no {ANNOTATIONS}, left out')
            continue
        runs = read_archive(args.archives / setting)
        reports[setting] = report(setting, runs)
        gains[setting] = last_quarter(runs)
        draw_study_curves(
            runs,
            args.out / f'study_{setting}_curves.png',
            writer,
            curves_of(setting),
        )
    answers = [
        *answer('primary', PRIMARY, reports),
        *answer('secondary', SECONDARY, reports),
    ]
    draw_forest(answers, args.out / 'study_answers.png', writer)
    source = dict(
        command='tools/dev/report_study.py, from the runs of '
        'docs/study-protocol.md',
        date=args.date,
        hardware=args.hardware,
        versions=args.versions,
    )
    tables = dict(
        study_answers=dict(
            what='AP on small objects with and without SGE, by the protocol '
            'of the study; differences are in points of AP, paired by seed',
            **source,
            columns=COLUMNS,
            rows=[each.cells() for each in answers],
            last_quarter=gains,
        )
    )
    if (args.archives / AGAIN).is_dir():
        tables['study_machines'] = dict(
            what='Trainings from scratch on two machines, AP on small '
            'objects, in points; exploratory',
            **source,
            **machines(args.archives),
        )
    for name, content in tables.items():
        writer.write(
            args.out / f'{name}.json', json.dumps(content, indent=1) + '\n'
        )


def curves_of(setting: str) -> Dict[str, str]:
    """Return what is drawn over the trainings of a setting.

    AP_small in the log goes by COCO's sizes. By these, 7 of the 945 blood
    cells are small, whose AP says nothing.
    """
    return {
        key: title
        for key, title in CURVES.items()
        if SIZES[setting] == ['coco'] or not key.endswith('_s')
    }


def report(setting: str, runs: Sequence[StudyRun]) -> StudyReport:
    """Return the report of a setting, as tools/run_study.py makes it."""
    ground_truth = read_ground_truth(runs[0].ground_truth, runs[0].classes)
    protocol = find_protocol().with_options(parse_size_bins(SIZES[setting]))
    figures = resample_runs(runs, ground_truth, protocol, progress=True)
    return report_figures(figures, 'none')


def answer(
    question: str,
    compared: Sequence['tuple[str, str, int]'],
    reports: Dict[str, StudyReport],
) -> List[Answer]:
    """Return the answers to one kind of question, with adjusted p-values."""
    found = []
    for setting, name, planned in compared:
        pairs = pairs_of_seeds(reports.get(setting), name)
        if len(pairs) < planned:
            print(
                f'{setting}, {name}: {len(pairs)} of {planned} pairs of '
                'seeds; left out until all are there'
            )
            continue
        found.append((setting, name, row_of(reports[setting], name), pairs))
    # Those that are left out count as planned questions.
    missing = [1.0] * (len(compared) - len(found))
    adjusted = holm([row.p for _, _, row, _ in found] + missing)
    return [Answer(question, *each, p) for each, p in zip(found, adjusted)]


def row_of(report: StudyReport, name: str) -> Difference:
    """Return what a config has more than none in AP on small objects."""
    (comparison,) = (
        each for each in report.comparisons if each.names == ('none', name)
    )
    return comparison[report.small]


def pairs_of_seeds(report: Optional[StudyReport], name: str) -> List[float]:
    """Return what a config has more than none in each seed, in points."""
    if report is None or not {'none', name} <= {*report.values}:
        return []
    return report.pairs('none', name, report.small)


def machines(archives: Path) -> dict:
    """Return what the machine changed, as columns and rows of a table.

    Args:
        archives (Path): Folder of all archives.
    """
    again = read_archive(archives / AGAIN)
    seeds = {run.seed for run in again}
    planned = [
        run
        for run in read_archive(archives / 'scratch')
        if run.seed <= max(seeds) and run.name != 'SGE'
    ]
    done_again = [
        run for run in planned if run.name == 'none' and run.seed in seeds
    ]
    moved = report(
        'scratch',
        [*done_again, *(replace(run, name=SECOND) for run in again)],
    )
    beside = report(
        'scratch', [*again, *(run for run in planned if run not in done_again)]
    )
    pairs = moved.pairs('none', SECOND, moved.small)
    return dict(
        columns=['difference', 'seeds', 'in points', '95 % interval'],
        rows=[
            ['none, second machine minus first', *cells(moved, SECOND)],
            *(
                [
                    f'{name} minus none, each pair on one machine',
                    *cells(beside, name),
                ]
                for name in beside.values
                if name != 'none'
            ),
        ],
        apart=f'{max(map(abs, pairs)):.1f}',
    )


def last_quarter(runs: Sequence[StudyRun]) -> List[str]:
    """Return what AP gained after the validation at three quarters.

    Args:
        runs (Sequence[StudyRun]): Runs of a setting.

    Returns:
        list[str]: Mean, least and most over the seeds of none, in points.
    """
    gains = []
    for run in runs:
        if run.name == 'none':
            curve = read_scalars(run.work_dir)[f'coco/{run.metric}_mAP']
            before, after = (curve[step] for step in sorted(curve)[-2:])
            gains.append(100 * (after - before))
    mean = sum(gains) / len(gains)
    return [f'{gain:.1f}' for gain in (mean, min(gains), max(gains))]


def cells(found: StudyReport, name: str) -> Tuple[str, str, str]:
    """Return seeds, difference and interval of a config beside none."""
    row, pairs = row_of(found, name), found.pairs('none', name, found.small)
    return str(len(pairs)), points(row.difference) or '', row.interval


def draw_forest(answers: Sequence[Answer], path: Path, writer: Writer) -> None:
    """Draw each answer's interval above the differences of its seeds."""
    figure = Figure(figsize=(9, 0.6 + 0.7 * len(answers)))
    figure.set_layout_engine('constrained')
    axis = figure.subplots()
    axis.axvline(0, color='0.6', linewidth=1)
    labels = []
    for i, each in enumerate(answers):
        axis.plot(
            each.pairs,
            [-i - 0.28] * len(each.pairs),
            '.',
            color='0.55',
            alpha=0.6,
        )
        draw_difference(axis, each.row, -i)
        labels.append(
            f'{TITLES[each.setting]}: {each.name}\n'
            f'({each.question}, {len(each.pairs)} seeds)'
        )
    axis.set_yticks([-i for i in range(len(answers))], labels, fontsize=8)
    axis.set_ylim(0.4 - len(answers), 0.6)
    axis.grid(axis='x', alpha=0.3)
    axis.set_xlabel(
        'AP on small objects, minus none, in points; lines: 95 % intervals, '
        'small dots: pairs of seeds'
    )
    save_figure(figure, path, writer)


if __name__ == '__main__':
    main()
