"""A detector's backbone and neck, with SGE and with what SGE competes with."""
from contextlib import contextmanager
from typing import Callable, Dict, Iterator, List, Optional

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from torch import Tensor, nn

from ..ops import use_backend
from .report import Row
from .timing import peak_memory, time_in_turns

PASSES = ('inference', 'training')


def benchmark_network(depth: int = 50, height: int = 800, width: int = 1344,
                      images: int = 2, device: str = 'cpu',
                      amp: Optional[torch.dtype] = None,
                      rounds: int = 5,
                      channels_last: bool = False) -> Iterator[List[Row]]:
    """Time and weigh ResNet + FPN with and without attention.

    As detectors are trained: norms in evaluation mode, the first stage
    frozen. A training iteration is a forward and a backward pass.

    Args:
        depth (int): Of the ResNet. Default: 50.
        height (int): Of the images. Default: 800.
        width (int): Of the images. Default: 1344.
        images (int): In a batch. Default: 2.
        device (str): Default: "cpu".
        amp (torch.dtype, optional): Of automatic mixed precision. Default:
            None, all in float32.
        rounds (int): How often each is timed. Default: 5.
        channels_last (bool): Layout of images and weights. Default: False.

    Yields:
        list[Row]: Those of inference, then those of training.
    """
    register_all_modules()
    where = torch.device(device)
    layout = (torch.channels_last if channels_last
              else torch.contiguous_format)
    case = dict(network=f'R-{depth} FPN',
                input=f'{images}x3x{height}x{width}',
                dtype='float32' if amp is None else
                f'amp {str(amp).split(".")[-1]}',
                layout='channels_last' if channels_last else 'NCHW')
    torch.manual_seed(0)
    batch = torch.randn(images, 3, height, width, device=where).to(
        memory_format=layout)
    networks = {name: build().to(where, memory_format=layout)
                for name, build in _networks(depth).items()}
    for direction in PASSES:
        runs = {name: _run(network, batch, direction, amp,
                           'reference' if 'reference' in name else None)
                for name, network in networks.items()}
        seconds = time_in_turns(runs, where, rounds)
        yield [Row(dict(case, direction=direction), name, seconds[name],
                   peak_memory(runs[name], where)) for name in runs]


def _networks(depth: int) -> 'Dict[str, Callable[[], nn.Module]]':
    def build(kind: str = 'ResNet', **options: object) -> nn.Module:
        backbone = MODELS.build(dict(
            type=kind, depth=depth, frozen_stages=1, norm_eval=True,
            norm_cfg=dict(type='BN', requires_grad=True), **options))
        channels = [256, 512, 1024, 2048] if depth >= 50 else [
            64, 128, 256, 512]
        neck = MODELS.build(dict(type='FPN', in_channels=channels,
                                 out_channels=256, num_outs=5))
        return nn.Sequential(backbone, neck)

    def plugin(**cfg: object) -> 'Callable[[], nn.Module]':
        return lambda: build(plugins=[dict(cfg=cfg, position='after_conv3')])

    networks = {
        'plain': build,
        'SGE, ours': lambda: build('SGEResNet'),
        'SGE, reference': lambda: build('SGEResNet'),
    }
    if depth >= 50:
        networks.update({
            'SGE plugin, ours': plugin(type='SGE'),
            'SE plugin': plugin(type='SE'),
            'GC plugin': plugin(type='ContextBlock', ratio=1 / 16),
        })
    return networks


def _run(network: nn.Module, batch: Tensor, direction: str,
         amp: Optional[torch.dtype],
         backend: Optional[str]) -> Callable[[], object]:
    parameters = [p for p in network.parameters() if p.requires_grad]

    @contextmanager
    def surroundings() -> Iterator[None]:
        network.train(direction == 'training')
        with use_backend(backend), torch.autocast(
                batch.device.type, dtype=amp or torch.bfloat16,
                enabled=amp is not None):
            yield

    def infer() -> tuple:
        with torch.no_grad(), surroundings():
            return network(batch)

    def train() -> tuple:
        with surroundings():
            outputs = network(batch)
        return torch.autograd.grad(
            [output.float().mean() for output in outputs], parameters,
            allow_unused=True)

    return infer if direction == 'inference' else train
