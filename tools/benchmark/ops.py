#!/usr/bin/env python3
"""Time SGE's operator beside the authors' formula and what memory allows.

It needs PyTorch, and Triton on a GPU, and nothing else. The picture beside
--out is drawn where matplotlib is installed.
"""

import argparse
import gc
from itertools import product
from typing import Callable, Iterator, List, Sequence, Tuple

import bare  # noqa: F401
import devices
import torch
from options import add_choices, add_numbers
from providers import (
    GROUPS,
    block_end_providers,
    operator_providers,
)
from report import Row, add_output_options, report_or_exit
from timing import peak_memory, time_in_turns
from torch import Tensor

from sge_mmdet.ops import use_backend
from sge_mmdet.ops.dispatch import BACKENDS

# Outputs of a ResNet-50's stages for two images of 800 x 1344.
SHAPES = (
    (2, 256, 200, 336),
    (2, 512, 100, 168),
    (2, 1024, 50, 84),
    (2, 2048, 25, 42),
)
PARTS = dict(operator=operator_providers, block_end=block_end_providers)
PASSES = ('forward', 'forward+backward')
# A GPU's cache is smaller than this.
COLD_BYTES = 256 * 2**20


def benchmark_operator(
    parts: Sequence[str] = tuple(PARTS),
    shapes: Sequence[Tuple[int, int, int, int]] = SHAPES,
    dtypes: Sequence[torch.dtype] = (torch.float32,),
    layouts: Sequence[torch.memory_format] = (torch.contiguous_format,),
    device: str = 'cpu',
    rounds: int = 30,
    compiled: bool = True,
    backends: Sequence[str] = (),
) -> Iterator[List[Row]]:
    """Measure time and memory of the operator, case by case.

    The floor reads and writes what any implementation must.

    Args:
        parts (Sequence[str]): "operator", SGE alone, and "block_end", the
            norm, SGE, the addition and ReLU. Default: both.
        shapes (Sequence[tuple]): Shapes of the maps, (N, C, H, W). Default:
            the four stages of a ResNet-50.
        dtypes (Sequence[torch.dtype]): Types of the maps. Default: float32.
        layouts (Sequence[torch.memory_format]): Layouts of the maps. Default:
            NCHW.
        device (str): Where the operator runs. Default: "cpu".
        rounds (int): How often each provider is timed. Default: 30.
        compiled (bool): Whether the compiled formula is among them, which
            takes a minute or so for each case on a CPU. Default: True.
        backends (Sequence[str]): Backends of the operator to time besides the
            usual one. Default: ().

    Yields:
        list[Row]: Rows of a part, shape, type, layout and pass.
    """
    where = torch.device(device)
    for part, shape, dtype, layout in product(parts, shapes, dtypes, layouts):
        sets = _tensor_sets(part, shape, dtype, layout, where)
        providers = PARTS[part](sets[0][0], compiled, backends)
        for name in PASSES:
            case = dict(
                part=part,
                shape='x'.join(map(str, shape)),
                dtype=str(dtype).split('.')[-1],
                layout='NCHW' if layout == torch.contiguous_format else 'NHWC',
                direction=name,
            )
            calls = {
                provider: _call(*how, sets, name)
                for provider, how in providers.items()
            }
            spreads = time_in_turns(calls, where, rounds, len(sets))
            weights = {
                provider: peak_memory(lambda call=call: call(0), where)
                for provider, call in calls.items()
            }
            yield [
                Row(case, provider, clock, spread, weights[provider])
                for (provider, clock), spread in spreads.items()
            ]
        del sets, calls
        gc.collect()


def _tensor_sets(
    part: str,
    shape: Tuple[int, ...],
    dtype: torch.dtype,
    layout: torch.memory_format,
    device: torch.device,
) -> List[List[Tensor]]:
    """Return sets of a part's tensors and the gradient of its result."""
    torch.manual_seed(0)

    def new_map() -> Tensor:
        return torch.randn(shape, device=device).to(
            dtype, memory_format=layout
        )

    weight, bias = torch.randn((2, 1, GROUPS, 1, 1), device=device)
    scale, shift, mean, variance = torch.rand(
        (4, shape[1]), device=device
    ).add(0.5)
    parameters = [weight, bias]
    if part == 'block_end':
        parameters += [scale, shift]
    leaves = [parameter.requires_grad_() for parameter in parameters]
    if part == 'block_end':
        leaves += [mean, variance]
    maps = 2 if part == 'block_end' else 1
    x_bytes = weight.new_empty(shape, device='meta').to(dtype).nbytes
    sets = 1 if device.type == 'cpu' else 1 + COLD_BYTES // (2 * x_bytes)
    return [
        [
            *(new_map().requires_grad_() for _ in range(maps)),
            *leaves,
            new_map(),
        ]
        for _ in range(sets)
    ]


def _call(
    function: Callable, backend: str, sets: List[List[Tensor]], direction: str
) -> Callable[[int], object]:
    def forward(i: int) -> Tensor:
        with torch.no_grad(), use_backend(backend):
            return function(sets[i][:-1])

    def both(i: int) -> tuple:
        *tensors, grad_y = sets[i]
        with use_backend(backend):
            y = function(tensors)
            # The floor does not use them all.
            return torch.autograd.grad(
                y,
                [tensor for tensor in tensors if tensor.requires_grad],
                grad_y,
                allow_unused=True,
            )

    return forward if direction == 'forward' else both


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    devices.add_device_option(parser)
    dtypes = ['float32', 'float16', 'bfloat16']
    layouts = ['contiguous_format', 'channels_last']
    part = 'SGE alone, or the end of a residual block'
    backend = 'backends to time besides the usual one'
    add_choices(parser, 'part', part, list(PARTS), list(PARTS))
    add_choices(parser, 'dtype', 'types of the maps', dtypes, dtypes[:1])
    add_choices(parser, 'layout', 'layouts of the maps', layouts, layouts[:1])
    add_choices(parser, 'backend', backend, BACKENDS, [])
    add_numbers(parser, dict(rounds=(30, 'how often each provider is timed')))
    parser.add_argument(
        '--shape',
        nargs='+',
        default=SHAPES,
        type=map_shape,
        help='shapes of the maps, such as 2x256x200x336. Default: the four '
        'stages of a ResNet-50 for two images of 800 x 1344',
    )
    parser.add_argument(
        '--no-compile',
        action='store_true',
        help='leave the compiled formula out',
    )
    add_output_options(parser)
    return parser.parse_args()


def main() -> None:
    """Print the ratios; write them as CSV and draw them if asked."""
    args = parse_options()
    cases = benchmark_operator(
        args.part,
        args.shape,
        [getattr(torch, dtype) for dtype in args.dtype],
        [getattr(torch, layout) for layout in args.layout],
        args.device,
        args.rounds,
        not args.no_compile,
        args.backend,
    )
    report_or_exit(cases, args.device, args)


def map_shape(text: str) -> Tuple[int, ...]:
    """Return a shape such as "2x256x200x336" as numbers."""
    shape = tuple(map(int, text.split('x')))
    if len(shape) != 4 or min(shape) < 1 or shape[1] % GROUPS:
        raise argparse.ArgumentTypeError(
            f'a shape is NxCxHxW with a multiple of {GROUPS} channels, got '
            f'{text!r}'
        )
    return shape


if __name__ == '__main__':
    main()
