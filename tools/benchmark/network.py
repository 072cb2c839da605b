#!/usr/bin/env python3
"""Time ResNet + FPN with SGE beside the plain one and other attention.

It needs MMDetection, and mmcv or mmcv-lite: none of mmcv's compiled operators.
"""

import argparse
import gc
import sys
from contextlib import contextmanager
from typing import Callable, Dict, Iterator, List

import bare  # noqa: F401
import torch
from report import Row, add_output_options, report
from timing import peak_memory, time_in_turns
from torch import Tensor, nn

from sge_mmdet.ops import use_backend

PASSES = ('inference', 'training')
# Of arithmetic: the type of autocast, or None, and whether float32 products
# may be computed in TF32.
PRECISIONS = dict(
    float32=(None, False),
    tf32=(None, True),
    amp_float16=(torch.float16, True),
    amp_bfloat16=(torch.bfloat16, True),
)
# Half-precision gradients of a mean would be rounded to zero.
LOSS_SCALE = 1024.0


def benchmark_network(
    depth: int = 50,
    height: int = 800,
    width: int = 1344,
    images: int = 2,
    device: str = 'cpu',
    precision: str = 'float32',
    rounds: int = 30,
    channels_last: bool = False,
    compiled: bool = False,
) -> Iterator[List[Row]]:
    """Time and weigh ResNet + FPN with and without attention.

    As detectors are trained: norms in evaluation mode, the first stage
    frozen. A training iteration is a forward and a backward pass.

    Args:
        depth (int): Of the ResNet. Default: 50.
        height (int): Of the images. Default: 800.
        width (int): Of the images. Default: 1344.
        images (int): In a batch. Default: 2.
        device (str): Default: "cpu".
        precision (str): One of :data:`PRECISIONS`. Default: "float32".
        rounds (int): How often each is timed. Default: 30.
        channels_last (bool): Layout of images and weights. Default: False.
        compiled (bool): Whether plain and SGE are also run compiled.
            Default: False.

    Yields:
        list[Row]: Those of inference, then those of training.
    """
    where = torch.device(device)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    amp, tf32 = PRECISIONS[precision]
    torch.manual_seed(0)
    batch = torch.randn(images, 3, height, width, device=where).to(
        memory_format=layout
    )
    networks = {
        name: build().to(where, memory_format=layout)
        for name, build in _networks(depth).items()
    }
    for direction in PASSES:
        calls = {
            name: _call(
                network,
                batch,
                direction,
                amp,
                'reference' if 'reference' in name else None,
            )
            for name, network in networks.items()
        }
        if compiled:
            torch._dynamo.reset()
            for name in 'plain', 'SGE, ours':
                calls[f'{name}, compiled'] = _call(
                    torch.compile(networks[name]), batch, direction, amp, None
                )
        with _tf32(tf32):
            spreads = time_in_turns(calls, where, rounds)
            weights = {
                name: peak_memory(lambda call=call: call(0), where)
                for name, call in calls.items()
            }
        case = dict(
            network=f'R-{depth} FPN',
            input=f'{images}x3x{height}x{width}',
            precision=precision,
            layout='NHWC' if channels_last else 'NCHW',
            direction=direction,
        )
        yield [
            Row(case, name, clock, spread, weights[name])
            for (name, clock), spread in spreads.items()
        ]
    del networks
    gc.collect()


def _networks(depth: int) -> 'Dict[str, Callable[[], nn.Module]]':
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules

    import sge_mmdet  # noqa: F401

    register_all_modules()

    def build(kind: str = 'ResNet', **options: object) -> nn.Module:
        backbone = MODELS.build(
            dict(
                type=kind,
                depth=depth,
                frozen_stages=1,
                norm_eval=True,
                norm_cfg=dict(type='BN', requires_grad=True),
                **options,
            )
        )
        channels = (
            [256, 512, 1024, 2048] if depth >= 50 else [64, 128, 256, 512]
        )
        neck = MODELS.build(
            dict(
                type='FPN', in_channels=channels, out_channels=256, num_outs=5
            )
        )
        return nn.Sequential(backbone, neck)

    def plugin(**cfg: object) -> 'Callable[[], nn.Module]':
        return lambda: build(plugins=[dict(cfg=cfg, position='after_conv3')])

    networks = {
        'plain': build,
        'SGE, ours': lambda: build('SGEResNet'),
        'SGE, reference': lambda: build('SGEResNet'),
    }
    if depth >= 50:
        networks.update(
            {
                'SGE plugin, ours': plugin(type='SGE'),
                'SE plugin': plugin(type='SE'),
                'GC plugin': plugin(type='ContextBlock', ratio=1 / 16),
            }
        )
    return networks


def _call(
    network: nn.Module,
    batch: Tensor,
    direction: str,
    amp: 'torch.dtype | None',
    backend: 'str | None',
) -> Callable[[int], object]:
    parameters = [p for p in network.parameters() if p.requires_grad]

    @contextmanager
    def surroundings() -> Iterator[None]:
        network.train(direction == 'training')
        with use_backend(backend), torch.autocast(
            batch.device.type,
            dtype=amp or torch.bfloat16,
            enabled=amp is not None,
        ):
            yield

    def infer(_: int) -> tuple:
        with torch.no_grad(), surroundings():
            return network(batch)

    def train(_: int) -> tuple:
        with surroundings():
            outputs = network(batch)
            loss = LOSS_SCALE * sum(
                output.float().mean() for output in outputs
            )
        return torch.autograd.grad(loss, parameters, allow_unused=True)

    return infer if direction == 'inference' else train


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    """Say whether float32 products may be computed in TF32, for a while."""
    settings = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [setting.allow_tf32 for setting in settings]
    for setting in settings:
        setting.allow_tf32 = allowed
    try:
        yield
    finally:
        for setting, value in zip(settings, before):
            setting.allow_tf32 = value


def main() -> None:
    """Print the ratios; write them as CSV and draw them if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu'
    )
    parser.add_argument('--depth', type=int, default=50)
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=(800, 1344),
        metavar=('HEIGHT', 'WIDTH'),
    )
    parser.add_argument('--images', type=int, default=2)
    parser.add_argument(
        '--precision', nargs='+', default=['float32'], choices=list(PRECISIONS)
    )
    parser.add_argument(
        '--layout', nargs='+', default=['NCHW'], choices=['NCHW', 'NHWC']
    )
    parser.add_argument(
        '--compile',
        action='store_true',
        help='run plain and SGE compiled as well',
    )
    parser.add_argument('--rounds', type=int, default=30)
    add_output_options(parser)
    args = parser.parse_args()
    cases = (
        rows
        for precision in args.precision
        for layout in args.layout
        for rows in benchmark_network(
            args.depth,
            *args.size,
            args.images,
            args.device,
            precision,
            args.rounds,
            layout == 'NHWC',
            args.compile,
        )
    )
    try:
        report(cases, args.device, args.out, args.overwrite)
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
