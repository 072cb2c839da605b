"""Insert SGE into any module of PyTorch, behind its outputs or parts of it."""

import warnings
from contextlib import nullcontext
from itertools import chain
from typing import Any, Dict, Mapping, Optional, Sequence, Union, cast

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from .checks import largest_groups
from .inserted import EnhancedLayer, EnhancedOutputs, apply_inserted
from .layer import SpatialGroupEnhance
from .places import (
    Places,
    channels_of,
    find_places,
    known_channels,
    place_name,
    probe_channels,
)

Channels = Union[int, Sequence[int], Mapping[str, int]]
# Layers that tools replace by new ones, together with their hooks.
REPLACED = (_NormBase, nn.GroupNorm, nn.LayerNorm, _ConvNd)


def insert_sge(
    module: nn.Module,
    after: Optional[Places] = None,
    groups: int = 64,
    preserve: bool = False,
    out_channels: Optional[Channels] = None,
    outputs: Optional[Sequence[Union[int, str]]] = None,
    example: Any = None,
    **options: Any,
) -> nn.Module:
    """Put SGE behind a module's outputs, or behind modules inside it.

    Keys of existing weights stay as they are; those of SGE are
    ``<place>.sge.weight`` and ``<place>.sge.bias``; behind a module that
    returns several maps, ``<place>.sge.0.weight`` and so on. If a place
    cannot have SGE, the module is left as it was.

    The channels of a place are taken from the first of these that is given:
    ``out_channels``; a run on ``example``; the attributes ``out_channels`` and
    ``num_outs`` of the module there; its last convolution, norm or linear
    layer.

    Args:
        module: Any module; it is changed in place. Where it has weights of
            another type or device than float32 on the CPU, SGE gets these.
        after: Modules that SGE follows: a pattern for their names, as in
            :mod:`fnmatch` (``'*.conv2'``; ``*`` also matches dots), several
            patterns, or a function of the name and the module that returns
            whether SGE follows it. Default: None, the module itself.
        groups: Number of groups. Where it does not divide the channels, the
            largest divisor below it is taken. Default: 64.
        preserve: Whether the module computes what it did until it is trained;
            see :class:`SpatialGroupEnhance`. Default: False.
        out_channels: Number of channels of each map: an int for one map, a
            sequence for a tuple or list of maps, a mapping for a dict of
            maps. Default: None, found as above.
        outputs: Indices or keys of the maps that get SGE, where there are
            several. Default: None, all.
        example: Input that ``module`` is run on once, in evaluation mode and
            without gradients, to find the channels: a tensor, or a tuple of
            arguments. Default: None.
        **options: Further options of :class:`SpatialGroupEnhance`: ``eps``,
            ``normalize``, ``weight_init``, ``bias_init``.

    Returns:
        ``module``.

    Raises:
        TypeError: If an output is known not to be a feature map.
        ValueError: If ``after`` names nothing, a place that already has SGE,
            or places that contain each other; or if channels are unknown. At
            its first run the module raises a ValueError if a map has other
            channels than SGE, and a TypeError if an output is no map.

    Warns:
        UserWarning: If a group is a single channel, once a call.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from sge_mmdet.ops import insert_sge
        >>> net = nn.Sequential(nn.Conv2d(3, 128, 3), nn.BatchNorm2d(128))
        >>> list(insert_sge(net, after='1', preserve=True).state_dict())[-2:]
        ['1.sge.bias', '1.sge.factor']
        >>> net(torch.rand(2, 3, 8, 8)).shape
        torch.Size([2, 128, 6, 6])
    """
    places = find_places(module, after)
    if after is not None and isinstance(out_channels, (Sequence, Mapping)):
        raise ValueError(
            'insert_sge: out_channels of several maps is for the outputs of '
            'the module itself (after=None); for modules inside it give one '
            f'int, or example=; got out_channels={out_channels!r}'
        )
    channels = _find_channels(module, places, out_channels, outputs, example)
    options.update(preserve=preserve)
    layers = {
        name: _new_layers(module, target, channels[name], groups, options)
        for name, target in places.items()
    }
    _warn_of_single_channels(places, layers)
    for name, sge in layers.items():
        _insert(module, name, places[name], sge)
    return module


def _find_channels(
    module: nn.Module,
    places: Dict[str, nn.Module],
    out_channels: Optional[Channels],
    outputs: Optional[Sequence[Union[int, str]]],
    example: Any,
) -> Dict[str, Any]:
    """Return the channels at each place: an int, or by index or key of maps.

    Maps without SGE have None.
    """
    found: Dict[str, Any] = {}
    returned = {}
    if out_channels is None and example is not None:
        returned = probe_channels(module, places, example)
    for name, target in places.items():
        place = place_name(name, target)
        if out_channels is not None:
            channels: Any = out_channels
        elif name in returned:
            channels = channels_of(place, returned[name], outputs)
        else:
            channels = known_channels(name, target)
        if isinstance(channels, int):
            found[name] = channels
            continue
        keys = dict(
            channels.items()
            if isinstance(channels, Mapping)
            else enumerate(channels)
        )
        unknown = [key for key in outputs or () if key not in keys]
        if unknown or not keys:
            raise ValueError(
                f'insert_sge: {place} has the outputs '
                f'{", ".join(map(repr, keys))}, got outputs={outputs!r}'
            )
        found[name] = {
            key: None if outputs is not None and key not in outputs else count
            for key, count in keys.items()
        }
    return found


def _new_layers(
    module: nn.Module,
    target: nn.Module,
    channels: Any,
    groups: int,
    options: Dict[str, Any],
) -> nn.Module:
    """Return new SGE layers, of the type and on the device of the target."""
    weights = chain(target.parameters(), module.parameters())
    like = next((w for w in weights if w.is_floating_point()), None)

    def layer(count: int) -> SpatialGroupEnhance:
        # Inside `with torch.device("meta")` a weight may be elsewhere.
        with nullcontext() if like is None else like.device:
            return SpatialGroupEnhance(
                count, largest_groups(count, groups), **options
            )

    sge: nn.Module
    if isinstance(channels, dict):
        layers = {
            str(key): layer(count)
            for key, count in channels.items()
            if count is not None
        }
        sge = EnhancedOutputs(layers, len(layers) == len(channels))
    else:
        sge = layer(channels)
    sge.train(target.training)
    return sge if like is None else sge.to(like.device, like.dtype)


def _warn_of_single_channels(
    places: Dict[str, nn.Module], layers: Dict[str, nn.Module]
) -> None:
    """Warn once if a group is a single channel, which SGE scales alone."""
    all_layers = [
        (name, layer)
        for name, sge in layers.items()
        for layer in sge.modules()
        if isinstance(layer, SpatialGroupEnhance)
    ]
    single = [
        (name, layer.in_channels)
        for name, layer in all_layers
        if layer.in_channels == layer.groups
    ]
    if single:
        name, channels = single[0]
        warnings.warn(
            f'insert_sge: in {len(single)} of {len(all_layers)} layers a '
            f'group is a single channel, such as the {channels} channels of '
            f'{place_name(name, places[name])}; a smaller number of groups '
            f'shares the similarity among channels',
            stacklevel=3,
        )


def _insert(
    module: nn.Module, name: str, target: nn.Module, sge: nn.Module
) -> None:
    """Put SGE behind a module, in all places that it has."""
    place = place_name(name, target)
    if name and isinstance(target, REPLACED):
        layer = EnhancedLayer(target, sge, place)
        for at, part in list(module.named_modules(remove_duplicate=False)):
            if part is target:
                parent, _, child = at.rpartition('.')
                module.get_submodule(parent).add_module(child, layer)
        return
    target.add_module('sge', sge)
    cast(Any, target).sge_place = place
    target.register_forward_hook(apply_inserted)
