#!/usr/bin/env python3
"""Print parameters and GFLOPs of a config's model, or of a backbone.

MODEL is a config (a file, or mmdet::retinanet/retinanet_r50_fpn_1x_coco.py) or
a backbone's type, such as SGEResNet with --cfg-options depth=50. GFLOPs are
counted as the paper's authors do, and beside it as MMEngine does.
"""

import argparse
import sys

from mmdet.utils import register_all_modules
from mmengine.config import DictAction

from sge_mmdet.analysis import (
    HEADER,
    PAPER_HEADER,
    backbone_stats,
    config_stats,
    paper_stats,
)
from sge_mmdet.conversion import find_config
from sge_mmdet.utils import load_config


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('model', nargs='?', help='config or backbone type')
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='default: 800 1333, with --classifier 224 224',
    )
    parser.add_argument(
        '--classifier',
        action='store_true',
        help="add ImageNet's classifier to the backbone",
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help="changes of the config, or the backbone's options",
    )
    parser.add_argument(
        '--paper',
        action='store_true',
        help="the paper's rows for ResNet, SGE and what it compares with, "
        'and what it says; exit status 1 if a digit differs unexpectedly',
    )
    args = parser.parse_args()
    if not (args.model or args.paper):
        parser.error('name a config or a backbone, or ask for --paper')
    if args.shape and min(args.shape) < 1:
        parser.error(
            f'--shape is a height and a width in pixels, got '
            f'{args.shape[0]} {args.shape[1]}'
        )
    image = tuple(
        args.shape or ((224, 224) if args.classifier else (800, 1333))
    )
    register_all_modules()
    try:
        if args.paper:
            print_paper()
        elif '::' in args.model or args.model.endswith('.py'):
            cfg = load_config(find_config(args.model), args.cfg_options)
            print(HEADER)
            for stats in config_stats(cfg, image):
                print(stats.line(), flush=True)
        else:
            backbone = dict(type=args.model, **args.cfg_options)
            stats = backbone_stats(backbone, image, args.classifier)
            print(f'{HEADER}\n{stats.line()}')
    except (
        AttributeError,
        ImportError,
        KeyError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        sys.exit(f'error: {error}')


def print_paper() -> None:
    """Print the paper's rows as they are counted here and in the paper."""
    print(PAPER_HEADER)
    agree = True
    for stats, row in paper_stats():
        is_same = stats.agrees_with(row)
        agree &= is_same != bool(row.difference)
        word = 'same' if is_same else f'DIFFERENT {row.difference}'
        print(
            f'{stats.line()}   {"":7} {row.params:>6}M {row.gflops:>7}  '
            f'{word}',
            flush=True,
        )
    sys.exit(not agree)


if __name__ == '__main__':
    main()
