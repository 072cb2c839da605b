"""SGE's operator beside its reference and what memory allows."""
import gc
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from ..ops import (
    backend_for,
    spatial_group_enhance,
    spatial_group_enhance_reference,
    use_backend,
)
from .report import Row
from .timing import peak_memory, time_in_turns

# Outputs of a ResNet-50's stages for two images of 800 x 1344.
SHAPES = ((2, 256, 200, 336), (2, 512, 100, 168), (2, 1024, 50, 84),
          (2, 2048, 25, 42))
GROUPS = 64
Provider = Tuple[Callable, Optional[str]]
PASSES = ('forward', 'forward+backward')


def benchmark_operator(
        shapes: Sequence[Tuple[int, int, int, int]] = SHAPES,
        dtypes: Sequence[torch.dtype] = (torch.float32, ),
        layouts: Sequence[torch.memory_format] = (torch.contiguous_format, ),
        device: str = 'cpu',
        rounds: int = 15,
        compiled: bool = True,
        backends: Sequence[str] = ()) -> Iterator[List[Row]]:
    """Time and weigh the operator, case by case.

    The providers are the reference; the reference compiled; this package's
    operator; and the floor, which reads and writes what any implementation
    must: x and y in the forward pass, x, the gradient of y and that of x in
    the backward pass.

    Args:
        shapes (Sequence[tuple]): Of the maps.
        dtypes (Sequence[torch.dtype]): Of the maps. Default: float32.
        layouts (Sequence[torch.memory_format]): Default: NCHW.
        device (str): Default: "cpu".
        rounds (int): How often each provider is timed. Default: 15.
        compiled (bool): Whether the compiled reference is among them, which
            takes a minute or so for each case on a CPU. Default: True.
        backends (Sequence[str]): Backends of the operator to time besides the
            usual one. Default: ().

    Yields:
        list[Row]: Those of a shape, type, layout and pass.
    """
    where = torch.device(device)
    for shape in shapes:
        for dtype in dtypes:
            for layout in layouts:
                case = dict(shape='x'.join(map(str, shape)),
                            dtype=str(dtype).split('.')[-1],
                            layout=str(layout).split('.')[-1])
                tensors = _tensors(shape, dtype, layout, where)
                providers = _providers(tensors[0], compiled, backends)
                for name in PASSES:
                    runs = {provider: _run(function, tensors, name, forced)
                            for provider, (function, forced) in
                            providers.items()}
                    seconds = time_in_turns(runs, where, rounds)
                    yield [Row(case=dict(case, direction=name),
                               provider=provider, seconds=seconds[provider],
                               bytes=peak_memory(runs[provider], where))
                           for provider in runs]
                del tensors, runs
                gc.collect()


def _tensors(shape: Tuple[int, ...], dtype: torch.dtype,
             layout: torch.memory_format,
             device: torch.device) -> List[Tensor]:
    """Return x, weight, bias and the gradient of y."""
    torch.manual_seed(0)
    x, grad_y = (torch.randn(shape, device=device).to(
        dtype, memory_format=layout) for _ in range(2))
    weight, bias = torch.randn((2, 1, GROUPS, 1, 1), device=device)
    return [x.requires_grad_(), weight.requires_grad_(),
            bias.requires_grad_(), grad_y]


def _providers(x: Tensor, compiled: bool,
               backends: Sequence[str]) -> Dict[str, Provider]:
    """Return functions by name, each with the backend that is asked for."""
    def reference(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return spatial_group_enhance_reference(x, weight, bias, GROUPS)

    def ours(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return spatial_group_enhance(x, weight, bias, GROUPS)

    providers: Dict[str, Provider] = {'reference': (reference, None)}
    if compiled:
        torch._dynamo.reset()
        providers['reference, compiled'] = (
            torch.compile(reference, dynamic=False), None)
    providers[f'ours ({backend_for(x)})'] = ours, None
    providers.update((f'ours ({name})', (ours, name)) for name in backends
                     if name != backend_for(x))
    providers['floor'] = _Floor.apply, None
    return providers


class _Floor(torch.autograd.Function):
    """One read and one write forward, two reads and one write backward."""

    @staticmethod
    def forward(ctx: object, x: Tensor, weight: Tensor,
                bias: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * 2.0

    @staticmethod
    def backward(ctx: object, grad_y: Tensor) -> tuple:
        return ctx.saved_tensors[0] + grad_y, None, None


def _run(function: Callable, tensors: Sequence[Tensor], direction: str,
         backend: Optional[str]) -> Callable[[], object]:
    *leaves, grad_y = tensors

    def forward() -> Tensor:
        with torch.no_grad(), use_backend(backend):
            return function(*leaves)

    def both() -> tuple:
        with use_backend(backend):
            y = function(*leaves)
            # The floor does not use them all.
            return torch.autograd.grad(y, leaves, grad_y, allow_unused=True)

    return forward if direction == 'forward' else both
