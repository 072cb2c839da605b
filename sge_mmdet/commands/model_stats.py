"""Print parameters and GFLOPs of a model.

MODEL is a config (a file, or mmdet::retinanet/retinanet_r50_fpn_1x_coco.py) or
the type of a backbone, such as SGEResNet with --cfg-options depth=50. GFLOPs
are counted in two ways: as the paper's authors count them, and as MMEngine
does.
"""

import argparse
from typing import List, Optional, Sequence

from mmdet.utils import register_all_modules
from mmengine.config import DictAction

from ..analysis import (
    HEADER,
    PAPER_HEADER,
    backbone_stats,
    config_stats,
    paper_stats,
)
from ..utils import load_config
from .common import create_parser, exit_at_failures, reported_errors


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Return the options; ``shape`` is always set."""
    parser = create_parser('model-stats', __doc__, args)
    parser.add_argument(
        'model',
        nargs='?',
        metavar='MODEL',
        help='config, or type of a backbone',
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='size of the image, in pixels; default: 800 1333, or 224 224 '
        'with --classifier',
    )
    parser.add_argument(
        '--classifier',
        action='store_true',
        help='add the classifier of ImageNet to the backbone',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='values to change in the config, or options of the backbone',
    )
    parser.add_argument(
        '--paper',
        action='store_true',
        help="print the paper's rows for ResNet, SGE and other attention, as "
        'counted here and in the paper; the exit status is 1 if a digit '
        'differs unexpectedly',
    )
    options = parser.parse_args(args)
    if not (options.model or options.paper):
        parser.error('expected MODEL, a config or a backbone, or --paper')
    default = (224, 224) if options.classifier else (800, 1333)
    options.shape = tuple(options.shape or default)
    if min(options.shape) < 1:
        parser.error(
            '--shape: expected a height and a width of at least 1 pixel, got '
            f'{options.shape[0]} {options.shape[1]}'
        )
    return options


@reported_errors()
def main(args: Optional[Sequence[str]] = None) -> None:
    """Print the table."""
    options = parse_args(args)
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
