#!/usr/bin/env python3
"""Draw what SGE does to an image: gates, activations, similarities.

For every SGE layer that is asked for it writes a sheet of its most telling
groups, those whose gates vary most over the image, and a histogram of the
similarity before and after normalisation.
"""
import argparse
import sys
from pathlib import Path
from typing import Dict

from mmcv import imread
from mmdet.apis import inference_detector, init_detector

from sge_mmdet.visualization import (
    GateMaps,
    draw_gates,
    draw_similarity_histogram,
    recorded_gates,
)


def main() -> None:
    """Draw the sheets."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of a detector with SGE')
    parser.add_argument('checkpoint', help='its weights after training')
    parser.add_argument('image')
    parser.add_argument('--before', metavar='CHECKPOINT',
                        help='weights before training, to draw beside')
    parser.add_argument(
        '--layers', nargs='+', metavar='NAME',
        help='layers whose names hold one of these, such as layer4 or '
        'layer2.0.sge; default: the last one of each stage')
    parser.add_argument('--groups', nargs='+', type=int,
                        help='default: the most telling ones')
    parser.add_argument('--number', type=int, default=4,
                        help='how many groups where none is named; '
                        'default: 4')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--out-dir', type=Path, default='sge_maps')
    args = parser.parse_args()
    try:
        after = look(args.config, args.checkpoint, args.image, args.device)
        before = look(args.config, args.before, args.image,
                      args.device) if args.before else {}
        names = choose_layers(after, args.layers)
        args.out_dir.mkdir(parents=True, exist_ok=True)
        image = imread(args.image, channel_order='rgb')
        for name in names:
            maps = after[name]
            groups = args.groups or maps.telling_groups(args.number)
            if not 0 <= min(groups) <= max(groups) < len(maps.gate):
                raise ValueError(f'{name} has the groups 0 to '
                                 f'{len(maps.gate) - 1}, got {groups}')
            out = args.out_dir / name
            draw_gates(image, maps, groups, name, f'{out}.gates.png',
                       before.get(name))
            draw_similarity_histogram(maps, groups, name,
                                      f'{out}.similarity.png')
            print(f'{out}.gates.png {out}.similarity.png')
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f'error: {error}')


def look(config: str, checkpoint: str, image: str,
         device: str) -> Dict[str, GateMaps]:
    """Return what a detector's SGE layers do to an image."""
    if not Path(image).is_file():
        raise FileNotFoundError(f'There is no image {image}')
    model = init_detector(config, checkpoint, device=device)
    with recorded_gates(model) as maps:
        inference_detector(model, image)
    return maps


def choose_layers(maps: Dict[str, GateMaps], wanted: list) -> list:
    """Return the names of the layers to draw."""
    if wanted:
        names = [name for name in maps
                 if any(part in name for part in wanted)]
        if not names:
            raise ValueError(f'No SGE layer is named like '
                             f'{", ".join(wanted)}; there are '
                             f'{", ".join(maps)}')
        return names
    # The last of each stage: backbone.layer1.0.sge, backbone.layer1.1.sge...
    return list({name.rsplit('.', 2)[0]: name for name in maps}.values())


if __name__ == '__main__':
    main()
