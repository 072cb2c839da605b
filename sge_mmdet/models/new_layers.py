"""What loaded weights lack: the SGE layers that they do not have."""

import math
from typing import Collection, List

from torch import nn

from ..ops import SpatialGroupEnhance


def describe_new_layers(module: nn.Module, held: Collection[str]) -> str:
    """Return a line on the SGE layers that weights do not have.

    Args:
        module (nn.Module): Model that the weights were loaded into.
        held (Collection[str]): Keys of the weights.

    Returns:
        str: Empty if all layers are there, or none of the other weights.
    """
    new: List[SpatialGroupEnhance] = [
        part
        for name, part in module.named_modules()
        if isinstance(part, SpatialGroupEnhance)
        and _key(name, 'weight') not in held
    ]
    if not new or set(held).isdisjoint(module.state_dict()):
        return ''
    count = f'{len(new)} SGE layer{"s are" if len(new) > 1 else " is"} new'
    changing = [layer for layer in new if layer.factor is None]
    if not changing:
        return (
            f'{count}: the weights do not have them. With preserve=True they '
            'compute what the weights did'
        )
    gates = sorted({1 / (1 + math.exp(-one.bias_init)) for one in changing})
    scale = ' or '.join(f'{gate:.2f}' for gate in gates)
    return (
        f'{count}: the weights do not have them. Each scales its map by '
        f'{scale} at first, so the model does not compute what it did. To '
        'keep its function, set preserve=True in the options of SGE '
        '(`tools/add_sge.py --preserve` writes it), or convert the weights: '
        '`tools/convert_checkpoint.py`'
    )


def _key(name: str, parameter: str) -> str:
    return f'{name}.{parameter}' if name else parameter
