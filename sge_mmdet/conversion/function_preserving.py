"""Function-preserving initialisation of SGE in a trained model.

A new SGE layer multiplies its input by sigmoid(b) at every position, because
w = 0 (arXiv 1905.09646). Dividing the norm before it by this factor preserves
the function of the model, so that training can continue from its weights. A
layer with ``preserve=True`` has a factor of its own, which can be folded into
the norm before it later.
"""

import math
from typing import (
    Any,
    Container,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import torch
from mmcv.cnn import ConvModule
from mmdet.models.backbones.res2net import Bottle2neck
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from ..models.backbones.sge_blocks import SGEBasicBlock
from ..models.layers import SpatialGroupEnhance
from ..models.necks import SGEFPN, SGEOutputs
from ..ops.inserted import EnhancedLayer


class Source(NamedTuple):
    """Parameters that scale the input of an SGE layer.

    Attributes:
        layer (SpatialGroupEnhance): SGE layer.
        name (str): Name of the layer in the model.
        scaled (list[str]): Parameters that scale the layer's input.
        undone (list[str]): Parameters to scale by the inverse of what the
            layer before it was scaled by, because their input is scaled
            already.
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
    Layers with ``preserve=True`` get their initial state; what is before them
    stays as it is.

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
    layers = sge_layers(model)
    for name, layer in layers.items():
        if layer.factor is not None:
            _add_layer(state, name, layer)
            state[f'{name}.factor'] = torch.full(
                layer.factor.shape, 1 + math.exp(-layer.bias_init)
            )
    plain = {name for name in layers if layers[name].factor is None}
    for source in fresh_sge_sources(model, plain):
        layer = source.layer
        if layer.weight_init != 0:
            raise ValueError(
                f'{source.name}: expected weight_init=0, with which all '
                'positions are scaled alike, got '
                f'weight_init={layer.weight_init}'
            )
        gate = 1 / (1 + math.exp(-layer.bias_init))
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
        _add_layer(state, source.name, layer)
    return state


def with_folded_factors(
    state_dict: Dict[str, Tensor], model: nn.Module
) -> Dict[str, Tensor]:
    """Return weights without the factors of layers with ``preserve=True``.

    Each factor moves into the norm or convolution before its layer. The
    model computes what it did, up to rounding, with and without ``preserve``.

    Args:
        state_dict (dict[str, Tensor]): Weights of a model with SGE.
        model (nn.Module): Model with SGE, on any device, including "meta".

    Returns:
        dict[str, Tensor]: Weights without keys that end in ``factor``;
        changed ones are new tensors.

    Raises:
        ValueError: If there is no factor, or if no parameters scale the input
            of a layer that has one.
    """
    state = dict(state_dict)
    named = {
        name for name in sge_layers(model) if f'{name}.factor' in state_dict
    }
    if not named:
        raise ValueError(
            'The checkpoint has no factors to fold, which layers with '
            'preserve=True have; leave out --fold'
        )
    before = None
    for source in fresh_sge_sources(model, named):
        factor = state.pop(f'{source.name}.factor').double()
        if source.undone or not source.scaled:
            # Its input comes from the level before it, scaled already.
            if (
                before is None
                or not bool((factor == factor[0]).all())
                or (not bool((before == factor[0]).all()))
            ):
                raise ValueError(
                    f'{source.name}.factor: expected the one constant of all '
                    'levels, with which it can be folded, got '
                    f'{factor.min():.4g} to {factor.max():.4g}'
                )
        missing = [
            key for key in (*source.scaled, *source.undone) if key not in state
        ]
        if missing:
            raise ValueError(
                f'{source.name}.factor cannot be folded, since the checkpoint '
                f'has no {", ".join(missing)}; load it with preserve=True'
            )
        for keys, scale in (
            (source.scaled, factor),
            (source.undone, 1 / factor[:1]),
        ):
            for key in keys:
                value = state[key]
                shape = (-1, *[1] * (value.dim() - 1))
                state[key] = (value.double() * scale.view(shape)).to(value)
        before = factor
    return state


def sge_layers(model: nn.Module) -> 'dict[str, SpatialGroupEnhance]':
    """Return the SGE layers of a model by name.

    Args:
        model (nn.Module): Any model.
    """
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, SpatialGroupEnhance)
    }


def _add_layer(
    state: Dict[str, Tensor], name: str, layer: SpatialGroupEnhance
) -> None:
    """Add the initial w and b of a layer to the weights of a model."""
    if f'{name}.weight' in state:
        raise ValueError(
            f'The checkpoint already has {name}; load it without conversion'
        )
    for key, value in (('weight', 0.0), ('bias', layer.bias_init)):
        state[f'{name}.{key}'] = torch.full(layer.weight.shape, float(value))


def fresh_sge_sources(
    model: nn.Module, named: Optional[Container[str]] = None
) -> Iterator[Source]:
    """Yield the parameters that scale the input of each SGE layer.

    Args:
        model (nn.Module): Model with SGE in its backbone or neck.
        named (Container[str], optional): Names of the layers that are asked
            for. Default: None, all.

    Raises:
        ValueError: If a layer's input cannot be scaled.
    """
    for name, module in model.named_modules():
        prefix = f'{name}.' if name else ''
        if isinstance(module, SGEOutputs):
            if named is None or f'{prefix}sge.0' in named:
                yield from _neck_sources(module, prefix)
            continue
        for child, layer in module.named_children():
            # SGE layers in a ModuleList belong to a neck.
            if (
                isinstance(layer, SpatialGroupEnhance)
                and not isinstance(module, nn.ModuleList)
                and (named is None or f'{prefix}{child}' in named)
            ):
                yield Source(
                    layer,
                    f'{prefix}{child}',
                    _parameters_before(module, child, prefix),
                )


def _parameters_before(
    module: nn.Module, child: str, prefix: str
) -> List[str]:
    """Return the keys that scale the input of a module's SGE."""
    if isinstance(module, EnhancedLayer):
        # Its keys are those that the layer inside had.
        inner = module.inner
        if isinstance(inner.weight, Tensor) and not isinstance(
            inner, _ConvTransposeNd
        ):
            return [
                f'{prefix}{key}'
                for key in ('weight', 'bias')
                if getattr(inner, key, None) is not None
            ]
    if isinstance(module, ConvModule) and module.order == (
        'conv',
        'norm',
        'act',
    ):
        return _output_parameters(module, prefix)[0]
    norm = f'{prefix}{_norm_before(module, child, prefix)}'
    return [f'{norm}.weight', f'{norm}.bias']


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
        "for position='after_conv3', and without any conversion for every "
        'SGE with the option preserve=True'
    )


def _neck_sources(neck: SGEOutputs, prefix: str) -> Iterator[Source]:
    if type(neck) is not SGEFPN:
        raise ValueError(
            f'Function-preserving weights exist for SGE in the '
            f'backbone and in SGEFPN, not in '
            f'{type(neck).__name__}; with sge=dict(preserve=True) none are '
            'needed'
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
