#!/usr/bin/env python3
"""Write a short config that inherits CONFIG and adds SGE to it."""

import argparse
import sys

from sge_mmdet.conversion import write_sge_config


def main() -> None:
    """Write the config and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'config',
        help='the config to inherit: a file, or one of '
        "MMDetection's as mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
    )
    parser.add_argument('-o', '--out', required=True, help='the file to write')
    parser.add_argument('--groups', type=int, default=64, help='default: 64')
    parser.add_argument(
        '--stages',
        type=int,
        nargs='+',
        default=(1, 1, 1, 1),
        choices=(0, 1),
        metavar='0|1',
        help='which stages of the backbone; default: 1 1 1 1',
    )
    parser.add_argument(
        '--position',
        default='after_conv3',
        help='after_conv1, after_conv2 or after_conv3 (default)',
    )
    parser.add_argument(
        '--where', default='backbone', help='backbone (default), neck or both'
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace the file if it exists',
    )
    args = vars(parser.parse_args())
    args['stages'] = tuple(map(bool, args['stages']))
    path = args.pop('out')
    try:
        write_sge_config(args.pop('config'), path, **args)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    with open(path) as file:
        print(f'# {path}\n{file.read()}')


if __name__ == '__main__':
    main()
