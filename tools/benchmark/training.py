#!/usr/bin/env python3
"""Train a RetinaNet for a while on each backend: do the losses agree?

A plain detector, SGE by our kernels and SGE by the formula step by step see
the same images, which are drawn here, with the same initial weights. It needs
MMDetection, and none of mmcv's compiled operators.
"""

import argparse
import csv
import io
import sys
from pathlib import Path
from typing import Dict, List, Tuple

import bare  # noqa: F401
import devices
import torch
from options import add_numbers
from report import add_output_options, hardware
from torch import Tensor
from tqdm import tqdm

from sge_mmdet.ops import use_backend
from sge_mmdet.utils.files import Writer

CLASSES = 3
# Name, type of the backbone, backend.
RUNS = (
    ('plain', 'ResNet', None),
    ('SGE, ours', 'SGEResNet', None),
    ('SGE, reference', 'SGEResNet', 'reference'),
)


def new_batch(
    images: int, size: int, generator: torch.Generator, device: torch.device
) -> Tuple[Tensor, list]:
    """Return images of noise with bright rectangles, and where they are.

    Args:
        images (int): Number of images.
        size (int): Of an image, in pixels.
        generator (torch.Generator): Draws them.
        device (torch.device): Where they are needed.
    """
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    pixels = torch.randn(images, 3, size, size, generator=generator)
    samples = []
    for image in pixels:
        count = int(torch.randint(2, 7, (), generator=generator))
        label = torch.randint(CLASSES, (count,), generator=generator)
        extent = torch.randint(
            size // 16, size // 3, (count, 2), generator=generator
        )
        corner = (
            torch.rand(count, 2, generator=generator) * (size - extent)
        ).long()
        boxes = torch.cat([corner, corner + extent], 1)
        for (left, top, right, bottom), colour in zip(boxes.tolist(), label):
            image[colour, top:bottom, left:right] += 3
        sample = DetDataSample(
            metainfo=dict(
                img_shape=(size, size),
                pad_shape=(size, size),
                batch_input_shape=(size, size),
                scale_factor=(1.0, 1.0),
            )
        )
        sample.gt_instances = InstanceData(bboxes=boxes.float(), labels=label)
        samples.append(sample.to(device))
    return pixels.to(device), samples


def build(kind: str, depth: int) -> torch.nn.Module:
    """Return a RetinaNet whose losses need no compiled operator.

    Args:
        kind (str): Of the backbone.
        depth (int): Of the backbone.
    """
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules
    from mmengine.config import Config

    import sge_mmdet  # noqa: F401
    from sge_mmdet.utils.upstream import upstream_path

    register_all_modules()
    model = Config.fromfile(
        upstream_path('configs', 'retinanet', 'retinanet_r50_fpn_1x_coco.py')
    ).model
    model.backbone.update(
        type=kind, depth=depth, init_cfg=None, frozen_stages=-1
    )
    if depth < 50:
        model.neck.in_channels = [64, 128, 256, 512]
    model.bbox_head.num_classes = CLASSES
    model.bbox_head.loss_cls = dict(type='CrossEntropyLoss', use_sigmoid=True)
    torch.manual_seed(0)
    return MODELS.build(model)


def train(
    kind: str,
    backend: 'str | None',
    depth: int,
    iterations: int,
    images: int,
    size: int,
    device: torch.device,
    amp: bool,
) -> List[float]:
    """Return the loss of each iteration.

    Args:
        kind (str): Of the backbone.
        backend (str, optional): Of SGE.
        depth (int): Of the backbone.
        iterations (int): How many.
        images (int): In a batch.
        size (int): Of an image, in pixels.
        device (torch.device): Where.
        amp (bool): Whether to train in bfloat16.
    """
    model = build(kind, depth).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.005, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in tqdm(range(iterations), desc=f'{kind}, {backend or "usual"}'):
        pixels, samples = new_batch(images, size, generator, device)
        with use_backend(backend), torch.autocast(
            device.type, dtype=torch.bfloat16, enabled=amp
        ):
            parts = model.loss(pixels / 4, samples)
            loss = sum(
                part if isinstance(part, Tensor) else sum(part)
                for part in parts.values()
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 35)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def write_losses(
    losses: Dict[str, List[float]], out: Path, device: str, writer: Writer
) -> None:
    """Write the losses as CSV and draw them.

    Args:
        losses (dict[str, list[float]]): Of each run.
        out (Path): CSV to write; a picture goes beside it.
        device (str): Where they were trained.
        writer (Writer): How the files are written.
    """
    from matplotlib.figure import Figure

    from sge_mmdet.utils.figures import save_figure

    text = io.StringIO(newline='')
    table = csv.writer(text)
    table.writerow(['iteration', *losses])
    table.writerows(
        [i, *values] for i, values in enumerate(zip(*losses.values()))
    )
    writer.write(out, text.getvalue())
    figure = Figure(figsize=(8, 4), layout='constrained')
    axis = figure.subplots()
    for name, values in losses.items():
        axis.plot(values, label=name, linewidth=1)
    axis.set_xlabel(f'iteration; {hardware(device)}')
    axis.set_ylabel('loss')
    axis.set_yscale('log')
    axis.legend()
    save_figure(figure, out.with_suffix('.png'), writer)


def print_losses(losses: Dict[str, List[float]]) -> None:
    """Print the first loss of each run, and the mean of its last ones.

    Args:
        losses (dict[str, list[float]]): Losses of each run.
    """
    for name, values in losses.items():
        last = values[-max(1, len(values) // 5) :]
        print(
            f'{name}: mean of the last {len(last)} losses '
            f'{sum(last) / len(last):.4f}, first {values[0]:.6f}'
        )


def check_first_losses(losses: Dict[str, List[float]], amp: bool) -> None:
    """Exit if kernels and formula differ in the first loss.

    Later losses drift apart, as those of any two orders of rounding do.

    Args:
        losses (dict[str, list[float]]): Losses of each run.
        amp (bool): Whether they were computed in bfloat16.
    """
    ours, formula = (
        losses[name][0] for name in ('SGE, ours', 'SGE, reference')
    )
    tolerance = 2e-2 if amp else 1e-3
    if not abs(ours - formula) <= tolerance * formula:
        sys.exit(
            f'error: the first loss is {ours} by our kernels and '
            f'{formula} by the formula'
        )


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    devices.add_device_option(parser)
    add_numbers(
        parser,
        dict(
            depth=(50, 'depth of the ResNet'),
            iterations=(200, 'iterations of each run'),
            images=(4, 'images in a batch'),
            size=(512, 'height and width of an image, in pixels'),
        ),
    )
    parser.add_argument('--amp', action='store_true', help='train in bfloat16')
    add_output_options(parser)
    return parser.parse_args()


def main() -> None:
    """Print and write the losses; fail where kernels and formula differ."""
    args = parse_options()
    writer = Writer(args.overwrite, renews=True)
    try:
        if args.out:
            writer.check(args.out, args.out.with_suffix('.png'))
        losses = {
            name: train(
                kind,
                backend,
                args.depth,
                args.iterations,
                args.images,
                args.size,
                torch.device(args.device),
                args.amp,
            )
            for name, kind, backend in RUNS
        }
        if args.out:
            write_losses(losses, args.out, args.device, writer)
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    print_losses(losses)
    check_first_losses(losses, args.amp)


if __name__ == '__main__':
    main()
