"""Run what a model needs once, before training or measuring begins.

On a GPU the kernels are compiled for the type, the layout, the channels of a
group and the alignment of a map's rows, not for the size of a map. Small maps
of each kind compile all of them.
"""

import sys
from itertools import product
from typing import Iterable, Iterator

import torch
from torch import Tensor, nn

from .functional import enhance, spatial_group_enhance_residual
from .layer import SpatialGroupEnhance
from .passes import FixedNorm, Inputs

TAILS = ('alone', 'residual', 'norm')


def warm_up(
    module: nn.Module,
    dtypes: Iterable[torch.dtype] = (torch.float32,),
    layouts: Iterable[torch.memory_format] = (torch.contiguous_format,),
    images: int = 2,
    tails: Iterable[str] = TAILS,
    training: bool = True,
) -> int:
    """Compile the kernels of all SGE layers of a model.

    Args:
        module: The model, on the device that it will run on.
        dtypes: Types of the feature maps. Default: float32.
        layouts: Layouts of the feature maps. Default: NCHW.
        images: Images a batch. Default: 2.
        tails: How the layers are used: "alone"; "residual", as the end of a
            residual block; "norm", the same behind a batch norm with fixed
            statistics. Default: all.
        training: Whether to compile the backward pass as well. Default: True.

    Returns:
        How many kinds of maps were run.

    Raises:
        ValueError: If there is no such tail.

    Examples:
        >>> from sge_mmdet.ops import SpatialGroupEnhance, warm_up
        >>> warm_up(SpatialGroupEnhance(8, 2), tails=['alone'])
        5
    """
    tails = tuple(tails)
    for tail in tails:
        if tail not in TAILS:
            raise ValueError(
                f'A tail is one of {", ".join(TAILS)}, got {tail!r}'
            )
    layers = {
        (
            layer.in_channels,
            layer.groups,
            layer.normalize,
            layer.factor is None,
        ): layer
        for layer in module.modules()
        if isinstance(layer, SpatialGroupEnhance)
    }
    cases = [
        (layer, tail, x)
        for layer, tail in product(layers.values(), tails)
        for x in _maps(layer, dtypes, layouts, images)
    ]
    for number, case in enumerate(cases, 1):
        _run(*case, training)
        print(
            f'\rSGE kernels: {number} of {len(cases)} made ready',
            end='\n' if number == len(cases) else '',
            file=sys.stderr,
            flush=True,
        )
    return len(cases)


def _maps(
    layer: SpatialGroupEnhance,
    dtypes: Iterable[torch.dtype],
    layouts: Iterable[torch.memory_format],
    images: int,
) -> Iterator[Tensor]:
    """Yield a map of each kind: rows of any alignment up to 16 bytes."""
    for dtype, layout in product(tuple(dtypes), tuple(layouts)):
        for align in (1, 2, 4, 8, 16):
            if layout == torch.channels_last and align > 1:
                continue
            yield torch.zeros(
                (images, layer.in_channels, align, 3),
                dtype=dtype,
                device=layer.weight.device,
            ).to(memory_format=layout)


def _run(
    layer: SpatialGroupEnhance, tail: str, x: Tensor, training: bool
) -> None:
    """Run a layer's passes on a map, with copies of its parameters."""
    with torch.enable_grad():
        leaves = x, weight, bias = [
            tensor.detach().clone().requires_grad_(training)
            for tensor in (x, layer.weight, layer.bias)
        ]
        gate = weight, bias, layer.groups, layer.eps, layer.normalize
        factor = layer.factor
        norm = None if factor is None else FixedNorm(factor.detach())
        if tail == 'alone':
            y = enhance(Inputs(x, weight, bias, norm, None, *gate[2:]))
        else:
            if tail == 'norm':
                # Norms have the type of the model's parameters.
                ones = [layer.weight.new_ones(x.shape[1]) for _ in range(4)]
                for tensor in ones[:2]:
                    tensor.requires_grad_(training)
                scale, shift, mean, variance = ones
                norm = FixedNorm(scale, shift, mean, variance)
            identity = torch.zeros_like(x)
            y = spatial_group_enhance_residual(x, identity, *gate, norm)
        if training:
            torch.autograd.grad(y.sum(), leaves)
