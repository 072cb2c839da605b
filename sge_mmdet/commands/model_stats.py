"""The command ``sge-mmdet model-stats``, once its arguments are parsed."""

import argparse
from typing import List

from mmdet.utils import register_all_modules

from ..analysis import (
    HEADER,
    PAPER_HEADER,
    backbone_stats,
    config_stats,
    paper_stats,
)
from ..utils import load_config
from .common import exit_at_failures, reported_errors


@reported_errors()
def run(options: argparse.Namespace) -> None:
    """Print the table."""
    register_all_modules()
    if options.paper:
        exit_at_failures(_print_paper())
    elif '::' in options.model or options.model.endswith('.py'):
        cfg = load_config(options.model, options.cfg_options)
        print(HEADER)
        for stats in config_stats(cfg, options.shape):
            print(stats.line(), flush=True)
    else:
        backbone = dict(type=options.model, **options.cfg_options)
        stats = backbone_stats(backbone, options.shape, options.classifier)
        print(f'{HEADER}\n{stats.line()}')


def _print_paper() -> List[str]:
    """Print the paper's rows; return messages on unexpected differences."""
    print(PAPER_HEADER)
    unexpected = []
    for stats, row in paper_stats():
        is_same = stats.agrees_with(row)
        word = 'same' if is_same else f'DIFFERENT {row.difference}'
        print(
            f'{stats.line()}   {"":7} {row.params:>6}M {row.gflops:>7}  '
            f'{word}',
            flush=True,
        )
        if is_same == bool(row.difference):
            unexpected.append(f'{row.name} is {word}, which was not expected')
    return unexpected
