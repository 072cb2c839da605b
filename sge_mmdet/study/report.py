"""Results of a study, as tables and text."""

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np
from tqdm import tqdm

from ..evaluation import (
    Comparison,
    GroundTruth,
    ResampledFigures,
    compare_figures,
    read_detections,
)
from ..evaluation.protocols import Protocol
from ..utils.tables import Cell, Table, points
from .plan import StudyRun


@dataclass(frozen=True)
class StudyReport:
    """Results of a study.

    Attributes:
        values: Figures (AP, AP50, AP75, AP by size) in [0, 1], by name of
            the config and seed; NaN if there is no object.
        comparisons: Comparisons of the first config with each other one.
        small: Name of the figure for small objects; "AP" if there are none.
    """

    values: Dict[str, Dict[int, Dict[str, float]]]
    comparisons: List[Comparison]
    small: str

    @property
    def figures(self) -> List[str]:
        """list[str]: Names of the figures that have objects."""
        of_first = next(iter(next(iter(self.values.values())).values()))
        return [
            name for name, value in of_first.items() if not np.isnan(value)
        ]

    def pairs(self, first: str, other: str, figure: str) -> List[float]:
        """Return what a config has more than another in each common seed.

        Args:
            first (str): Name of the config that is subtracted.
            other (str): Name of the other config.
            figure (str): Name of the figure, such as "AP_small".

        Returns:
            list[float]: Differences in points.
        """
        a, b = self.values[first], self.values[other]
        return [
            100 * (b[seed][figure] - a[seed][figure])
            for seed in common_seeds(a, b)
        ]

    def table(self) -> Table:
        """Return a row for each config, with intervals of the differences.

        Figures are means over the seeds with standard deviations; differences
        are from the first config, in points.
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
                _difference(by_name.get(name), figure, len(self.values[first]))
                for figure in compared
            ]
            rows.append(row)
        return Table(header, rows)

    def text(self) -> str:
        """Return the findings as sentences that can be quoted."""
        if not self.comparisons:
            return 'There is nothing to compare with yet.'
        # The method of the intervals is described once, or for each
        # comparison if the methods differ.
        methods = {comparison.method() for comparison in self.comparisons}
        sentences = []
        for comparison in self.comparisons:
            found = (
                comparison.findings()
                if len(methods) == 1
                else comparison.verdict()
            )
            sentences.append(found + self._base_of(comparison))
        if len(methods) == 1:
            sentences.append(methods.pop())
        intervals = len(self.comparisons) * len({self.small, 'AP'})
        if intervals > 2:
            sentences.append(
                f'Of {intervals} such intervals, {0.05 * intervals:.1f} are '
                'expected to exclude zero by chance alone.'
            )
        return '\n\n'.join(sentences)

    def _base_of(self, comparison: Comparison) -> str:
        """Return what the first config has over fewer than all its seeds."""
        first, other = comparison.names
        all_seeds, seeds = len(self.values[first]), comparison.seeds[0]
        if seeds == all_seeds:
            return ''
        row = comparison[self.small]
        return (
            f' Over the {seeds} seeds that both have, {first} has '
            f'{100 * row.a:.1f} in {row.name}, and {other} {100 * row.b:.1f}.'
        )

    def csv(self) -> str:
        """Return the figures of each run with all digits, one per line."""
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


def resample_runs(
    runs: Sequence[StudyRun],
    ground_truth: GroundTruth,
    protocol: Protocol,
    resamples: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Dict[str, Dict[int, ResampledFigures]]:
    """Compute the figures of the runs that are done, on resamples.

    Args:
        runs (Sequence[StudyRun]): All runs of the study.
        ground_truth (GroundTruth): Ground truth of the test. Its groups of
            images, if it has any, are resampled as wholes.
        protocol (Protocol): Rules of the evaluation, with its sizes.
        resamples (int): Number of resamples of the images. Default: 1000.
        seed (int): Seed of the resampling. Default: 0.
        progress (bool): Whether to show a progress bar. Default: False.

    Returns:
        dict: Figures by name of the config and seed.

    Raises:
        ValueError: If no run is done, or a result does not belong to the
            test data.
    """
    done = [run for run in runs if run.is_done]
    if not done:
        raise ValueError(
            'No run of the study has a result yet; train it first, with '
            'neither --plan nor --report-only'
        )
    figures: Dict[str, Dict[int, ResampledFigures]] = {
        run.name: {} for run in done
    }
    for run in tqdm(done, desc='resampling', disable=not progress):
        detections = read_detections(run.detections, ground_truth, run.metric)
        (figures[run.name][run.seed],) = protocol.resample(
            *protocol.prepare_results(ground_truth, [detections], run.metric),
            run.metric,
            resamples,
            seed,
        )
    return figures


def report_figures(
    figures: Dict[str, Dict[int, ResampledFigures]], baseline: str
) -> StudyReport:
    """Compare the configs of a study.

    Args:
        figures (dict): Figures of :func:`resample_runs`.
        baseline (str): Name of the config that the others are compared with,
            even if none of its runs is done.
    """
    values = _point_estimates(figures)
    return StudyReport(
        values, _compare_with(baseline, figures), small_figure(figures)
    )


def small_figure(figures: Dict[str, Dict[int, ResampledFigures]]) -> str:
    """Return the name of the figure of small objects; "AP" without any.

    Args:
        figures (dict): Figures of :func:`resample_runs`.
    """
    one = next(iter(next(iter(figures.values())).values()))
    return 'AP' if np.isnan(one.sizes[one.small][0]) else one.small


def common_seeds(a: Mapping[int, Any], b: Mapping[int, Any]) -> List[int]:
    """Return the seeds that both configs have results of.

    Args:
        a (dict[int, Any]): Results of the first config by seed.
        b (dict[int, Any]): Results of the second config by seed.
    """
    return [seed for seed in a if seed in b]


def _compare_with(
    baseline: str, figures: Dict[str, Dict[int, ResampledFigures]]
) -> List[Comparison]:
    """Compare the baseline with each other config, if it has results."""
    comparisons = []
    first = figures.get(baseline)
    for name, others in figures.items():
        if first is None or name == baseline:
            continue
        # Seeds that one of them lacks would cost the pairing of all.
        seeds = common_seeds(first, others)
        a, b = first, others
        if len(seeds) > 1:
            a, b = ({seed: side[seed] for seed in seeds} for side in (a, b))
        comparisons.append(compare_figures(a, b, (baseline, name)))
    return comparisons


def _point_estimates(
    figures: Dict[str, Dict[int, ResampledFigures]],
) -> Dict[str, Dict[int, Dict[str, float]]]:
    """Return the figures of the test data itself, without resampling."""
    return {
        name: {
            seed: {
                figure: float(drawn[0])
                for figure, drawn in result.sizes.items()
            }
            for seed, result in seeds.items()
        }
        for name, seeds in figures.items()
    }


def _mean(figure: str, seeds: Dict[int, Dict[str, float]]) -> str:
    values = [figures[figure] for figures in seeds.values()]
    mean = f'{np.mean(values):.3f}'
    return (
        mean
        if len(values) == 1
        else (f'{mean} ± {np.std(values, ddof=1):.3f}')
    )


def _difference(
    comparison: Optional[Comparison], figure: str, all_seeds: int
) -> Optional[str]:
    """Return a difference with its interval.

    Args:
        comparison (Comparison, optional): The comparison; None for the first
            config itself.
        figure (str): Name of the figure.
        all_seeds (int): Number of seeds of the first config.
    """
    if comparison is None:
        return '-'
    row = comparison[figure]
    # With one seed, the interval covers only the choice of images.
    is_partial = row.is_told and min(comparison.seeds) == 1
    mark = ', images alone' if is_partial else ''
    if comparison.seeds[0] < all_seeds:
        mark += f', {comparison.seeds[0]} seeds'
    return f'{points(row.difference)} ({row.interval}{mark})'
