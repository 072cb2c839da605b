#!/usr/bin/env python3
"""Compare SyncBN in several processes with one process that sees all images.

A ResNet-50 with SGE whose norms train is trained for some iterations, by one
process with batch norm, and by others with SyncBN: two that share the GPU by
gloo, and one by NCCL, which takes no two processes on one GPU. It needs a GPU
and MMDetection, and none of mmcv's compiled operators.
"""

import argparse
import operator
import sys
import tempfile
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import bare  # noqa: F401
import devices
import torch
from options import add_choices, add_numbers
from process import SKIPPED
from torch import Tensor, distributed, multiprocessing, nn

# Name of the backend of torch.distributed, and number of processes.
GROUPS = (('gloo', 2), ('nccl', 1))
# How far losses and gradients may be apart, see differences(). In float32,
# rounding switches some ReLUs; float64 tells whether it is that.
TOLERANCE = dict(float32=(1e-3, 2e-2), float64=(1e-9, 1e-7))
LEARNING_RATE = 2e-3
IMAGE = 3, 128, 160


class Training(NamedTuple):
    """What came of a training.

    Attributes:
        losses: Loss of each iteration, over all images.
        gradients: Gradients of the first iteration, by parameter.
    """

    losses: List[float]
    gradients: Dict[str, Tensor]


def build(norm: str, dtype: str) -> nn.Module:
    """Return a backbone whose norms train, the same one each time.

    Args:
        norm (str): Type of its norms.
        dtype (str): Type of its parameters.
    """
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules

    import sge_mmdet  # noqa: F401

    register_all_modules()
    torch.manual_seed(0)
    network = MODELS.build(
        dict(
            type='SGEResNet',
            depth=50,
            norm_eval=False,
            frozen_stages=-1,
            norm_cfg=dict(type=norm, requires_grad=True),
        )
    )
    for name, parameter in network.named_parameters():
        # Gates that differ between positions.
        if 'sge' in name:
            nn.init.normal_(parameter, std=0.5)
    return network.to('cuda', getattr(torch, dtype)).train()


def train(
    network: nn.Module,
    images: Tensor,
    iterations: int,
    average: Optional[Callable[[Tensor], None]] = None,
) -> Training:
    """Train a network.

    Args:
        network (nn.Module): The network.
        images (Tensor): All images of this process.
        iterations (int): Number of iterations.
        average (callable, optional): Makes a loss that of all processes, in
            place. Default: None.
    """
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)
    losses, gradients = [], {}
    for _ in range(iterations):
        optimizer.zero_grad()
        loss = sum(out.square().mean() for out in network(images))
        loss.backward()
        value = loss.detach()
        if average is not None:
            average(value)
        losses.append(value.item())
        if not gradients:
            inner = getattr(network, 'module', network)
            gradients = {
                name: parameter.grad.cpu().clone()
                for name, parameter in inner.named_parameters()
            }
        optimizer.step()
    return Training(losses, gradients)


def all_images(count: int, dtype: str) -> Tensor:
    """Return images of noise, the same ones each time.

    Args:
        count (int): Number of images.
        dtype (str): Their type.
    """
    for setting in torch.backends.cuda.matmul, torch.backends.cudnn:
        setting.allow_tf32 = False
    return torch.randn(
        (count, *IMAGE), generator=torch.Generator().manual_seed(1)
    ).to('cuda', getattr(torch, dtype))


def run_process(
    rank: int,
    backend: str,
    processes: int,
    dtype: str,
    images: int,
    iterations: int,
    folder: str,
) -> None:
    """Train with SyncBN in one of several processes; the first one saves.

    Args:
        rank (int): Number of this process.
        backend (str): Of torch.distributed.
        processes (int): How many there are.
        dtype (str): Type of parameters and images.
        images (int): Images of all processes.
        iterations (int): Number of iterations.
        folder (str): Where they meet, and where the result goes.
    """
    torch.cuda.set_device(0)
    distributed.init_process_group(
        backend,
        init_method=f'file://{folder}/meeting',
        rank=rank,
        world_size=processes,
    )

    def average(loss: Tensor) -> None:
        distributed.all_reduce(loss)
        loss /= processes

    network = nn.parallel.DistributedDataParallel(
        build('SyncBN', dtype), device_ids=[0]
    )
    part = all_images(images, dtype).chunk(processes)[rank]
    result = train(network, part, iterations, average)
    if rank == 0:
        torch.save(tuple(result), Path(folder, 'result.pth'))
    distributed.destroy_process_group()


def train_together(
    backend: str, processes: int, dtype: str, images: int, iterations: int
) -> Training:
    """Train with SyncBN in several processes; arguments as above."""
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(
            run_process,
            (backend, processes, dtype, images, iterations, folder),
            nprocs=processes,
        )
        return Training(*torch.load(Path(folder, 'result.pth')))


def differences(one: Training, other: Training) -> Tuple[float, float]:
    """Return how far losses and gradients are apart.

    Args:
        one (Training): A training.
        other (Training): The one that it is compared with.

    Returns:
        tuple[float, float]: Largest difference of the losses, as a share of
        the loss; and of the gradients, as a share of a parameter's norm.
    """
    return (
        max(abs(a / b - 1) for a, b in zip(one.losses, other.losses)),
        max(
            float((one.gradients[name] - want).norm() / want.norm())
            for name, want in other.gradients.items()
        ),
    )


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    devices.add_device_option(parser)
    add_numbers(
        parser,
        dict(
            images=(8, 'images of all processes'),
            iterations=(4, 'iterations of a training'),
        ),
    )
    add_choices(
        parser,
        'dtype',
        'types of parameters and images',
        list(TOLERANCE),
        list(TOLERANCE),
    )
    return parser.parse_args()


def main() -> None:
    """Print how far they are apart; exit with 1 if it is too far."""
    args = parse_options()
    if devices.is_cpu(args.device):
        print('skipped: SyncBN needs a GPU')
        sys.exit(SKIPPED)
    failed = False
    for dtype in args.dtype:
        one = train(
            build('BN', dtype),
            all_images(args.images, dtype),
            args.iterations,
        )
        for backend, processes in GROUPS:
            other = train_together(
                backend, processes, dtype, args.images, args.iterations
            )
            apart = differences(other, one)
            is_right = all(map(operator.le, apart, TOLERANCE[dtype]))
            failed |= not is_right
            print(
                f'{dtype}, {processes} with SyncBN by {backend}: losses at '
                f'most {apart[0]:.1e} apart, gradients {apart[1]:.1e}: '
                f'{"right" if is_right else "WRONG"}',
                flush=True,
            )
    sys.exit(failed)


if __name__ == '__main__':
    main()
