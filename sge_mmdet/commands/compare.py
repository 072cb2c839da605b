"""The command ``sge-mmdet compare``, once its arguments are parsed."""

import argparse
from typing import List

from ..evaluation import (
    Comparison,
    ResampledFigures,
    compare_figures,
)
from ..evaluation.comparison import warn_of_equal_results
from ..evaluation.report_files import COMPARISON_FILES, COMPARISON_PAGE
from ..utils import Writer
from .common import reported_errors
from .size_options import (
    check_report_options,
    check_score,
    choose_protocol,
    group_files,
    read_results,
    read_sized_ground_truth,
    tile_files,
)


@reported_errors()
def run(options: argparse.Namespace) -> None:
    """Print the differences and the verdict; write them to ``--out-dir``."""
    writer = Writer(
        options.overwrite,
        [
            options.ground_truth,
            *options.a,
            *options.b,
            *group_files(options),
            *tile_files(options),
        ],
        renews=True,
    )
    check_report_options(options)
    if options.out_dir:
        writer.check(*(options.out_dir / name for name in COMPARISON_FILES))
    protocol = choose_protocol(options)
    ground_truth, _ = read_sized_ground_truth(options.ground_truth, options)
    results = [
        read_results(path, ground_truth, options)
        for path in (*options.a, *options.b)
    ]
    check_score(options.score, results)
    warn_of_equal_results(results)
    ground_truth, results = protocol.prepare_results(
        ground_truth, results, options.metric
    )
    figures = protocol.resample(
        ground_truth,
        results,
        options.metric,
        options.resamples,
        options.seed,
        progress=True,
    )
    comparison = _compare(figures, options)
    print(comparison)
    if options.out_dir:
        from ..evaluation.interactive import Gallery, compared_report
        from ..evaluation.report import write_comparison

        page = compared_report(
            ground_truth,
            (results[0], results[len(options.a)]),
            comparison,
            protocol.bins,
            options.metric,
            protocol.counted,
            options.score,
            Gallery(
                options.images,
                most_bytes=int(options.report_size * 1e6),
                beside=options.out_dir,
            ),
        )
        write_comparison(comparison, options.out_dir, writer, page)
        print(
            f'written to {options.out_dir}; look at '
            f'{options.out_dir / COMPARISON_PAGE}'
        )


def _compare(
    figures: List[ResampledFigures], options: argparse.Namespace
) -> Comparison:
    """Return the comparison of the figures of A, then those of B."""
    seeds, names = len(options.a), tuple(options.names)
    a, b = figures[:seeds], figures[seeds:]
    if options.paired_seeds:
        return compare_figures(dict(enumerate(a)), dict(enumerate(b)), names)
    return compare_figures(a, b, names)
