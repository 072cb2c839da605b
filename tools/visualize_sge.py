#!/usr/bin/env python3
"""Draw what SGE does to an image: gates, activations, similarities.

For every SGE layer that is asked for it writes a sheet of its most telling
groups, those whose gates vary most over the image, and a histogram of the
similarity before and after normalisation.
"""

import argparse
import sys
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.apis import init_detector
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config

from sge_mmdet.utils import Writer
from sge_mmdet.utils.figures import save_figure
from sge_mmdet.visualization import (
    GateMaps,
    choose_layers,
    gates_figure,
    record_gates,
    similarity_figure,
)


def main() -> None:
    """Draw the sheets."""
    args = parse_args()
    writer = Writer(
        args.overwrite,
        [
            args.config,
            args.checkpoint,
            args.image,
            *filter(None, [args.before]),
        ],
        renews=True,
    )
    try:
        image, after = look(
            args.config, args.checkpoint, args.image, args.device
        )
        layers = choose_layers(after, args.layers)
        for name in layers:
            writer.check(*picture_files(args.out_dir, name))
        before = look_before(args)
        for name in layers:
            groups = after[name].choose_groups(args.groups, args.number)
            files = picture_files(args.out_dir, name)
            gates = {
                f'gate {when} training': maps[name]
                for when, maps in (('before', before), ('after', after))
                if maps
            }
            save_figure(
                gates_figure(image, gates, name, groups), files[0], writer
            )
            save_figure(
                similarity_figure(after[name], name, groups), files[1], writer
            )
            print(*files)
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config of a detector with SGE')
    parser.add_argument('checkpoint', help='its weights after training')
    parser.add_argument('image')
    parser.add_argument(
        '--before',
        metavar='CHECKPOINT',
        help='weights before training, to draw beside; default: those that '
        'the config starts from',
    )
    parser.add_argument(
        '--layers',
        nargs='+',
        metavar='NAME',
        help='layers whose names hold one of these, such as layer4 or '
        'layer2.0.sge; default: the last one of each stage',
    )
    parser.add_argument(
        '--groups', nargs='+', type=int, help='default: the most telling ones'
    )
    parser.add_argument(
        '--number',
        type=int,
        default=4,
        help='how many groups where none is named; default: 4',
    )
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--out-dir', type=Path, default='sge_maps')
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace files that are '
        'there, also those that this tool did not write',
    )
    return parser.parse_args()


def picture_files(folder: Path, layer: str) -> List[Path]:
    """Return where a layer's two pictures go."""
    # PyTorch lets names of modules hold anything but dots.
    name = layer.replace('/', '_')
    return [folder / f'{name}.{kind}.png' for kind in ('gates', 'similarity')]


def look_before(args: argparse.Namespace) -> Dict[str, GateMaps]:
    """Return what the SGE layers did before training, if that is known."""
    try:
        return look(args.config, args.before, args.image, args.device)[1]
    except Exception as error:
        # What a config starts from may be on another machine.
        if args.before:
            raise
        print(
            'note: drawn without the gates before training, since the '
            f'weights that the config starts from cannot be loaded ({error})'
            '; --before names others',
            file=sys.stderr,
        )
        return {}


def look(
    config: str, checkpoint: Optional[str], image: str, device: str
) -> Tuple[np.ndarray, Dict[str, GateMaps]]:
    """Return an image and what a detector's SGE layers do to it."""
    if not Path(image).is_file():
        raise FileNotFoundError(f'There is no image {image}')
    torch.manual_seed(0)
    # Without a palette MMDetection would look for one in the data set.
    model = init_detector(
        config,
        checkpoint or Config.fromfile(config).get('load_from'),
        palette='random',
        device=device,
    )
    if not checkpoint and not model.cfg.get('load_from'):
        model.init_weights()
    pipeline = Compose(get_test_pipeline_cfg(model.cfg))
    return record_gates(model, pipeline(dict(img_path=image, img_id=0)))


if __name__ == '__main__':
    main()
