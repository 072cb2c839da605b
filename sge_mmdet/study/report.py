"""Results of a study, as tables and text."""

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence

import numpy as np
from tqdm import tqdm

from ..evaluation import (
    Comparison,
    GroundTruth,
    ResampledFigures,
    SizeBin,
    compare_figures,
    read_detections,
    resample_figures,
)
from ..utils.tables import Cell, Table, points
from .plan import StudyRun


@dataclass(frozen=True)
class StudyReport:
    """What a study found.

    Attributes:
        values: For each config by name, for each seed, its figures (AP,
            AP50, AP75, AP by size) in [0, 1]; NaN where there is no object.
        comparisons: Comparisons of the first config with each other one.
        small: Name of the figure of small objects, or of all where there is
            none.
    """

    values: Dict[str, Dict[int, Dict[str, float]]]
    comparisons: List[Comparison]
    small: str

    @property
    def figures(self) -> List[str]:
        """list[str]: names of the figures that have objects."""
        of_first = next(iter(next(iter(self.values.values())).values()))
        return [
            name for name, value in of_first.items() if not np.isnan(value)
        ]

    def table(self) -> Table:
        """Return a row for each config, with intervals of the differences.

        A figure is the mean over seeds and their standard deviation; a
        difference is that from the first config, in points.
        """
        first = next(iter(self.values))
        compared = list(dict.fromkeys([self.small, 'AP']))
        header = ['config', 'seeds', *self.figures] + [
            f'{name} - {first} (95 %)' for name in compared
        ]
        by_name = {
            comparison.names[1]: comparison for comparison in self.comparisons
        }
        rows: List[List[Cell]] = []
        for name, seeds in self.values.items():
            row: List[Cell] = [name, len(seeds)]
            row += [_mean(figure, seeds) for figure in self.figures]
            row += [
                _difference(by_name.get(name), figure) for figure in compared
            ]
            rows.append(row)
        return Table(header, rows)

    def text(self) -> str:
        """Return what can be said, in sentences that can be quoted."""
        if not self.comparisons:
            return 'There is nothing to compare with yet.'
        # How the intervals came about is said once, or of each where one of
        # them holds less than the others.
        methods = {comparison.method() for comparison in self.comparisons}
        sentences = [
            comparison.findings()
            if len(methods) == 1
            else comparison.verdict()
            for comparison in self.comparisons
        ]
        if len(methods) == 1:
            sentences.append(methods.pop())
        looked_at = len(self.comparisons) * len({self.small, 'AP'})
        if looked_at > 2:
            sentences.append(
                f'Of {looked_at} such intervals {0.05 * looked_at:.1f} would '
                'leave out zero by chance alone.'
            )
        return '\n\n'.join(sentences)

    def csv(self) -> str:
        """Return the figures of each run with all digits, one a line."""
        return Table(
            ('config', 'seed', 'figure', 'value'),
            [
                [name, seed, figure, None if np.isnan(value) else value]
                for name, seeds in self.values.items()
                for seed, figures in seeds.items()
                for figure, value in figures.items()
            ],
        ).csv()

    def to_dict(self) -> dict:
        """Return everything in plain containers, for JSON."""
        runs = {
            name: {
                seed: {
                    figure: None if np.isnan(value) else value
                    for figure, value in figures.items()
                }
                for seed, figures in seeds.items()
            }
            for name, seeds in self.values.items()
        }
        return dict(
            runs=runs,
            comparisons=[
                comparison.to_dict() for comparison in self.comparisons
            ],
        )


def report_study(
    runs: Sequence[StudyRun],
    ground_truth: GroundTruth,
    bins: Sequence[SizeBin],
    resamples: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> StudyReport:
    """Compare the configs of a study, those of their runs that are done.

    Args:
        runs (Sequence[StudyRun]): The runs.
        ground_truth (GroundTruth): Ground truth of the test.
        bins (Sequence[SizeBin]): Bins of object sizes.
        resamples (int): Number of resamples of the images. Default: 1000.
        seed (int): Seed of the resampling. Default: 0.
        progress (bool): Whether to show a progress bar. Default: False.

    Raises:
        ValueError: If no run is done, or a result is not of the test data.
    """
    done = [run for run in runs if run.is_done]
    if not done:
        raise ValueError('No run of the study has a result yet')
    figures: Dict[str, Dict[int, ResampledFigures]] = {
        run.name: {} for run in runs if run in done
    }
    for run in tqdm(done, desc='resampling', disable=not progress):
        figures[run.name][run.seed] = resample_figures(
            ground_truth,
            read_detections(run.detections, ground_truth, run.metric),
            bins,
            run.metric,
            resamples,
            seed,
        )
    # The baseline is the first that was asked for, whatever is done.
    first = runs[0].name
    comparisons = [
        compare_figures(
            list(figures[first].values()), list(others.values()), (first, name)
        )
        for name, others in figures.items()
        if first in figures and name != first
    ]
    values = {
        name: {
            seed: {
                figure: float(drawn[0])
                for figure, drawn in result.sizes.items()
            }
            for seed, result in seeds.items()
        }
        for name, seeds in figures.items()
    }
    small = next(iter(figures[done[0].name].values())).small
    if np.isnan(next(iter(values[done[0].name].values()))[small]):
        small = 'AP'
    return StudyReport(values, comparisons, small)


def _mean(figure: str, seeds: Dict[int, Dict[str, float]]) -> str:
    values = [figures[figure] for figures in seeds.values()]
    mean = f'{np.mean(values):.3f}'
    return (
        mean
        if len(values) == 1
        else (f'{mean} ± {np.std(values, ddof=1):.3f}')
    )


def _difference(
    comparison: Optional[Comparison], figure: str
) -> Optional[str]:
    if comparison is None:
        return '-'
    row = comparison[figure]
    # As the text says, with one seed the interval is over images alone.
    mark = '' if min(comparison.seeds) > 1 else ', images alone'
    return (
        f'{points(row.difference)} ({points(row.low)} to '
        f'{points(row.high)}{mark})'
    )
