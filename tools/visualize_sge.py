#!/usr/bin/env python3
"""Draw what SGE does to an image: gates, activations, similarities.

For every SGE layer that is asked for it writes a sheet of its most telling
groups, those whose gates vary most over the image, and a histogram of the
similarity before and after normalisation.
"""
import argparse
import sys
from pathlib import Path
from typing import Dict, Optional, Tuple

import numpy as np
from mmcv.transforms import Compose
from mmdet.apis import init_detector
from mmdet.utils import get_test_pipeline_cfg

from sge_mmdet.visualization import (
    GateMaps,
    choose_layers,
    gates_figure,
    look_at_gates,
    similarity_figure,
)


def main() -> None:
    """Draw the sheets."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of a detector with SGE')
    parser.add_argument('checkpoint', help='its weights after training')
    parser.add_argument('image')
    parser.add_argument(
        '--before', metavar='CHECKPOINT',
        help='weights before training, to draw beside; default: those that '
        'the config builds, without what it loads')
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
        _, before = look(args.config, args.before, args.image, args.device)
        image, after = look(args.config, args.checkpoint, args.image,
                            args.device)
        args.out_dir.mkdir(parents=True, exist_ok=True)
        for name in choose_layers(after, args.layers):
            groups = after[name].choose_groups(args.groups, args.number)
            out = args.out_dir / name
            gates_figure(image, {'gate before training': before[name],
                                 'gate after training': after[name]},
                         name, groups).savefig(f'{out}.gates.png')
            similarity_figure(after[name], name, groups).savefig(
                f'{out}.similarity.png')
            print(f'{out}.gates.png {out}.similarity.png')
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f'error: {error}')


def look(config: str, checkpoint: Optional[str], image: str,
         device: str) -> Tuple[np.ndarray, Dict[str, GateMaps]]:
    """Return an image and what a detector's SGE layers do to it."""
    if not Path(image).is_file():
        raise FileNotFoundError(f'There is no image {image}')
    # Without a palette MMDetection would look for one in the data set.
    model = init_detector(config, checkpoint, palette='random', device=device)
    pipeline = Compose(get_test_pipeline_cfg(model.cfg))
    return look_at_gates(model, pipeline(dict(img_path=image, img_id=0)))


if __name__ == '__main__':
    main()
