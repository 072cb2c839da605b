"""Function-preserving initialisation of SGE in a trained model.

A new SGE layer multiplies its input by sigmoid(b) at every position, because
w = 0 (arXiv 1905.09646). Dividing the norm before it by this factor preserves
the function of the model, so that training can continue from its weights.
"""

import math
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import torch
from mmcv.cnn import ConvModule
from mmdet.models.backbones.res2net import Bottle2neck
from torch import Tensor, nn

from ..models.backbones.sge_blocks import SGEBasicBlock
from ..models.layers import SpatialGroupEnhance
from ..models.necks import SGEFPN, SGEOutputs


class Source(NamedTuple):
    """Parameters that scale the input of an SGE layer.

    Attributes:
        layer (SpatialGroupEnhance): SGE layer.
        name (str): Name of the layer in the model.
        scaled (list[str]): Parameters to divide by the gate.
        undone (list[str]): Parameters to multiply by the gate, because their
            input has been divided already.
    """

    layer: SpatialGroupEnhance
    name: str
    scaled: List[str]
    undone: Sequence[str] = ()


def with_function_preserving_sge(
    state_dict: Dict[str, Tensor], model: nn.Module
) -> Dict[str, Tensor]:
    """Return weights with which a model with SGE equals the one without.

    The outputs are equal up to rounding, in training and in evaluation mode.

    Args:
        state_dict (dict[str, Tensor]): Weights of the model without SGE.
        model (nn.Module): Model with SGE, on any device, including "meta".

    Returns:
        dict[str, Tensor]: Weights of the model with SGE; changed ones are new
        tensors.

    Raises:
        ValueError: If no parameters scale the input of an SGE layer, or these
            parameters are missing.
    """
    state = dict(state_dict)
    for source in fresh_sge_sources(model):
        layer = source.layer
        if layer.weight_init != 0:
            raise ValueError(
                f'{source.name}: expected weight_init=0, with which all '
                'positions are scaled alike, got '
                f'weight_init={layer.weight_init}'
            )
        gate = 1 / (1 + math.exp(-layer.bias_init))
        if f'{source.name}.weight' in state:
            raise ValueError(
                f'The checkpoint already has {source.name}; load it without '
                'conversion'
            )
        missing = [
            key for key in (*source.scaled, *source.undone) if key not in state
        ]
        if missing:
            raise ValueError(
                f'The checkpoint has no {", ".join(missing)}, which '
                f'{source.name} follows; name a checkpoint of the same '
                'backbone and neck'
            )
        for keys, factor in ((source.scaled, 1 / gate), (source.undone, gate)):
            for key in keys:
                state[key] = (state[key].double() * factor).to(
                    state[key].dtype
                )
        for key, value in (('weight', 0.0), ('bias', layer.bias_init)):
            state[f'{source.name}.{key}'] = torch.full(
                layer.weight.shape, float(value)
            )
    return state


def fresh_sge_sources(model: nn.Module) -> Iterator[Source]:
    """Yield the parameters that scale the input of each SGE layer.

    Args:
        model (nn.Module): Model with SGE in its backbone or neck.

    Raises:
        ValueError: If a layer's input cannot be scaled.
    """
    for name, module in model.named_modules():
        prefix = f'{name}.' if name else ''
        if isinstance(module, SGEOutputs):
            yield from _neck_sources(module, prefix)
        else:
            for child, layer in module.named_children():
                # SGE layers in a ModuleList belong to a neck.
                if isinstance(layer, SpatialGroupEnhance) and not isinstance(
                    module, nn.ModuleList
                ):
                    norm = f'{prefix}{_norm_before(module, child, prefix)}'
                    yield Source(
                        layer,
                        f'{prefix}{child}',
                        [f'{norm}.weight', f'{norm}.bias'],
                    )


def _norm_before(block: nn.Module, child: str, prefix: str) -> str:
    """Return the name of the norm before a residual block's SGE.

    Only a ReLU may be between them; it commutes with a positive scale.
    """
    if isinstance(block, SGEBasicBlock):
        return block.norm2_name
    for i in (1, 2, 3):
        plugins = getattr(block, f'after_conv{i}_plugin_names', [])
        if child not in plugins:
            continue
        before = plugins[: plugins.index(child)]
        if before:
            raise ValueError(
                f'{prefix}{child} follows {before[-1]}, through which a scale '
                'does not pass unchanged; put SGE first'
            )
        norm = getattr(block, f'norm{i}_name', '')
        if hasattr(block, norm) and not (
            i == 2 and isinstance(block, Bottle2neck)
        ):
            return norm
    raise ValueError(
        f'{prefix}{child} in a {type(block).__name__} has no norm before it '
        'whose scale reaches it unchanged; function-preserving weights exist '
        "for position='after_conv3'"
    )


def _neck_sources(neck: SGEOutputs, prefix: str) -> Iterator[Source]:
    if type(neck) is not SGEFPN:
        raise ValueError(
            f'Function-preserving weights exist for SGE in the '
            f'backbone and in SGEFPN, not in '
            f'{type(neck).__name__}'
        )
    pyramid: Any = neck
    own_levels = len(pyramid.lateral_convs)
    for i, layer in enumerate(pyramid.sge):
        name = f'{prefix}sge.{i}'
        if i >= len(pyramid.fpn_convs):
            # This level is pooled from the previous one, already scaled.
            yield Source(layer, name, [])
            continue
        # Convolutions on the output of a level have a scaled input.
        chained = i > own_levels or (
            i == own_levels and pyramid.add_extra_convs == 'on_output'
        )
        scaled, weight = _output_parameters(
            pyramid.fpn_convs[i], f'{prefix}fpn_convs.{i}.'
        )
        yield Source(layer, name, scaled, [weight] if chained else [])


def _output_parameters(conv: ConvModule, prefix: str) -> Tuple[List[str], str]:
    """Return the parameters that scale the output, and the kernel's name."""
    if type(conv.conv) is not nn.Conv2d or not isinstance(
        getattr(conv, 'activate', None), (type(None), nn.ReLU)
    ):
        raise ValueError(
            f'{prefix[:-1]}: expected a plain convolution, with a ReLU at '
            'most, whose output can be scaled; use a neck without other '
            'convolutions and activations'
        )
    last = f'{prefix}{conv.norm_name}' if conv.with_norm else f'{prefix}conv'
    return [f'{last}.weight', f'{last}.bias'], f'{prefix}conv.weight'
