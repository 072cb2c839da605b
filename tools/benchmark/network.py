#!/usr/bin/env python3
"""Time ResNet + FPN with SGE beside the plain one and other attention.

It needs MMDetection, and mmcv or mmcv-lite: none of mmcv's compiled operators.
"""

import argparse
import gc
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import bare  # noqa: F401
import devices
import torch
from options import add_choices, add_numbers
from report import Row, add_output_options, report_or_exit
from timing import peak_memory, time_in_turns
from torch import Tensor, nn

from sge_mmdet.ops import use_backend

PASSES = ('inference', 'training')
# The type of autocast, or None, and whether float32 products may be computed
# in TF32.
PRECISIONS = dict(
    float32=(None, False),
    tf32=(None, True),
    amp_float16=(torch.float16, True),
    amp_bfloat16=(torch.bfloat16, True),
)
NETWORKS = (
    'plain',
    'SGE, ours',
    'SGE, reference',
    'SGE plugin, ours',
    'SE plugin',
    'GC plugin',
)
COMPILED = NETWORKS[:2]
# Of torch.compile. The second one replays a graph of CUDA, without Python.
MODES = 'default', 'reduce-overhead'
# Half-precision gradients of a mean would be rounded to zero.
LOSS_SCALE = 1024.0


@dataclass(frozen=True)
class Setting:
    """What networks are timed on.

    Attributes:
        depth: Depth of the ResNet.
        height: Height of the images.
        width: Width of the images.
        images: Number of images in a batch.
        device: Where the networks run.
        precision: One of :data:`PRECISIONS`.
        layout: Layout of images and weights, "NCHW" or "NHWC".
        networks: Names of the networks, the plain one among them.
        modes: Modes of ``torch.compile`` in which the plain network and SGE
            also run compiled.
    """

    depth: int
    height: int
    width: int
    images: int
    device: str
    precision: str
    layout: str
    networks: Tuple[str, ...] = NETWORKS
    modes: Tuple[str, ...] = ()

    def case(self, direction: str) -> Dict[str, str]:
        """Return the columns that name the case in a table.

        Args:
            direction (str): "inference" or "training".
        """
        return dict(
            network=f'R-{self.depth} FPN',
            input=f'{self.images}x3x{self.height}x{self.width}',
            precision=self.precision,
            layout=self.layout,
            direction=direction,
        )


def benchmark_network(setting: Setting, rounds: int) -> Iterator[List[Row]]:
    """Measure time and memory of ResNet + FPN with and without attention.

    As detectors are trained: norms in evaluation mode, the first stage
    frozen. A training iteration is a forward and a backward pass.

    Args:
        setting (Setting): What they are timed on.
        rounds (int): How often each network is timed.

    Yields:
        list[Row]: Rows of inference, then those of training.
    """
    where = torch.device(setting.device)
    layout = (
        torch.channels_last
        if setting.layout == 'NHWC'
        else torch.contiguous_format
    )
    torch.manual_seed(0)
    shape = setting.images, 3, setting.height, setting.width
    batch = torch.randn(shape, device=where).to(memory_format=layout)
    networks = {
        name: build().to(where, memory_format=layout)
        for name, build in _networks(setting.depth).items()
        if name in setting.networks
    }
    for network in networks.values():
        _share_weights(networks['plain'], network)
    for direction in PASSES:
        calls = _calls(networks, batch, direction, setting)
        with _tf32(PRECISIONS[setting.precision][1]):
            spreads = time_in_turns(calls, where, rounds)
            weights = {
                name: peak_memory(lambda call=call: call(0), where)
                for name, call in calls.items()
            }
        yield [
            Row(setting.case(direction), name, clock, spread, weights[name])
            for (name, clock), spread in spreads.items()
        ]
    del networks
    gc.collect()


def _networks(depth: int) -> 'Dict[str, Callable[[], nn.Module]]':
    """Return what builds each network, by name."""
    from mmdet.utils import register_all_modules

    import sge_mmdet  # noqa: F401

    register_all_modules()

    def plugin(**cfg: object) -> 'Callable[[], nn.Module]':
        plugins = [dict(cfg=cfg, position='after_conv3')]
        return lambda: _build(depth, 'ResNet', plugins=plugins)

    networks = {
        'plain': lambda: _build(depth, 'ResNet'),
        'SGE, ours': lambda: _build(depth, 'SGEResNet'),
        'SGE, reference': lambda: _build(depth, 'SGEResNet'),
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


def _build(depth: int, kind: str, **options: object) -> nn.Module:
    """Return a backbone with a neck."""
    from mmdet.registry import MODELS

    backbone = dict(
        type=kind,
        depth=depth,
        frozen_stages=1,
        norm_eval=True,
        norm_cfg=dict(type='BN', requires_grad=True),
        **options,
    )
    channels = [256, 512, 1024, 2048] if depth >= 50 else [64, 128, 256, 512]
    neck = dict(type='FPN', in_channels=channels, out_channels=256, num_outs=5)
    return nn.Sequential(MODELS.build(backbone), MODELS.build(neck))


def _share_weights(source: nn.Module, target: nn.Module) -> None:
    """Let a network use the weights of another where names are equal.

    On a CPU a convolution's time depends on where its weights lie in memory:
    two plain networks differ by up to 5 %, which is more than attention takes.
    """
    sources = dict(source.named_modules())
    for name, module in target.named_modules():
        if name not in sources:
            continue
        for kind in '_parameters', '_buffers':
            tensors = getattr(module, kind)
            shared = getattr(sources[name], kind)
            tensors.update({key: shared[key] for key in tensors})


def _calls(
    networks: Dict[str, nn.Module],
    batch: Tensor,
    direction: str,
    setting: Setting,
) -> Dict[str, Callable[[int], object]]:
    """Return what runs each network, by name."""
    amp, _ = PRECISIONS[setting.precision]
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
    if setting.modes:
        torch._dynamo.reset()
    names = [name for name in COMPILED if name in networks]
    for mode, name in product(setting.modes, names):
        how = 'compiled' if mode == 'default' else mode
        network = torch.compile(networks[name], mode=mode)
        calls[f'{name}, {how}'] = _as_step(
            _call(network, batch, direction, amp, None)
        )
    return calls


def _as_step(call: Callable[[int], object]) -> Callable[[int], object]:
    """Let a replayed graph write over what its last replay returned."""

    def step(i: int) -> object:
        torch.compiler.cudagraph_mark_step_begin()
        return call(i)

    return step


def _call(
    network: nn.Module,
    batch: Tensor,
    direction: str,
    amp: Optional[torch.dtype],
    backend: Optional[str],
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


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    devices.add_device_option(parser)
    add_numbers(
        parser,
        dict(
            depth=(50, 'depth of the ResNet'),
            images=(2, 'images in a batch'),
            rounds=(30, 'how often each network is timed'),
        ),
    )
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=(800, 1344),
        metavar=('HEIGHT', 'WIDTH'),
        help='size of the images. Default: 800 1344',
    )
    add_choices(
        parser,
        'precision',
        'precisions of arithmetic',
        list(PRECISIONS),
        ['float32'],
    )
    add_choices(
        parser,
        'layout',
        'layouts of images and weights',
        ['NCHW', 'NHWC'],
        ['NCHW'],
    )
    add_choices(
        parser,
        'network',
        'networks to time besides the plain one',
        NETWORKS[1:],
        NETWORKS[1:],
    )
    parser.add_argument(
        '--compile',
        nargs='*',
        choices=MODES,
        metavar='MODE',
        help='run the plain network and SGE compiled as well, in these modes '
        f'of torch.compile. Default, without modes: {" ".join(MODES)}',
    )
    add_output_options(parser)
    return parser.parse_args()


def main() -> None:
    """Print the ratios; write them as CSV and draw them if asked."""
    args = parse_options()
    networks = ('plain', *args.network)
    modes = () if args.compile is None else tuple(args.compile) or MODES
    cases = (
        rows
        for precision, layout in product(args.precision, args.layout)
        for rows in benchmark_network(
            Setting(
                args.depth,
                *args.size,
                args.images,
                args.device,
                precision,
                layout,
                networks,
                modes,
            ),
            args.rounds,
        )
    )
    report_or_exit(cases, args.device, args)


if __name__ == '__main__':
    main()
