"""Adding SGE to the config of a detector, in its backbone or its neck."""

import math
from copy import deepcopy
from typing import Any, Iterator, List, Optional, Sequence, Tuple, Union

import torch
from mmdet.models.backbones import ResNet, ResNeXt
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.logging import print_log
from torch import nn

from ..models.backbones import SGEResNet, SGEResNeXt
from ..models.layers import PLUGIN_POSITIONS, SpatialGroupEnhance
from ..models.necks import SGE_NECKS, SGEOutputs
from ..ops import largest_groups
from ..utils import build_part, get_model

# Backbones that are replaced by a class with SGE at the end of each block.
SGE_BACKBONES = {ResNet: SGEResNet, ResNeXt: SGEResNeXt}
# A recursive feature pyramid has a backbone of its own. The teacher of a
# distillation gets no SGE: its weights are fixed, so its output would change.
BACKBONE_KEYS = ('backbone', 'rfp_backbone')
PLACES = ('backbone', 'neck', 'both')


class NotApplicableError(ValueError):
    """Raised for a part of a model that SGE cannot be added to."""


def add_sge(
    cfg: Config,
    groups: int = 64,
    stages: Sequence[bool] = (True,) * 4,
    position: str = 'after_conv3',
    where: str = 'backbone',
) -> Config:
    """Return a config with SGE in its backbone (arXiv 1905.09646).

    Every backbone of the model that is a ResNet of MMDetection (ResNet,
    ResNeXt, Res2Net, RegNet, ResNeSt, DetectoRS, TridentNet, or a class
    derived from ResNet) gets SGE, also inside semi-supervised, distillation
    and tracking models. The teacher of a distillation does not change. If
    ``groups`` does not divide a stage's channels, the largest smaller divisor
    is used and logged.

    Args:
        cfg (Config): Config with a ``model``; it is not changed.
        groups (int): Number of groups. Default: 64.
        stages (Sequence[bool]): Whether each stage of the backbone gets SGE;
            surplus values are ignored. Default: all four.
        position (str): Position in the block: "after_conv1", "after_conv2" or
            "after_conv3", the end of the residual branch, as in the paper.
            Default: "after_conv3".
        where (str): Part that gets SGE: "backbone", "neck" (the outputs of an
            FPN, PAFPN, HRFPN or ChannelMapper, with any backbone) or "both".
            Default: "backbone".

    Returns:
        Config: New config, which imports ``sge_mmdet``.

    Raises:
        NotApplicableError: If SGE cannot be added to any part of the model;
            this is a ValueError.
        ValueError: If an argument has an unknown value, or a part cannot be
            built or already has SGE.

    Examples:
        >>> from mmengine.config import Config
        >>> from sge_mmdet import add_sge
        >>> cfg = Config(
        ...     dict(model=dict(backbone=dict(type='ResNeSt', depth=50)))
        ... )
        >>> add_sge(cfg).model.backbone.plugins
        [{'cfg': {'type': 'SGE', 'groups': 64}, 'position': 'after_conv3'}]
    """
    new = deepcopy(cfg)
    changes = sge_changes(cfg, groups, stages, position, where)
    # Config's own merge would mix the items of lists.
    for key, value in changes.items():
        new[key] = _merged(cfg.get(key), value)
    return new


def sge_changes(
    cfg: Config,
    groups: int = 64,
    stages: Sequence[bool] = (True,) * 4,
    position: str = 'after_conv3',
    where: str = 'backbone',
) -> dict:
    """Return the changes of :func:`add_sge`, as the body of a derived config.

    Arguments and errors are those of :func:`add_sge`.
    """
    for name, value, choices in (
        ('position', position, PLUGIN_POSITIONS),
        ('where', where, PLACES),
    ):
        if value not in choices:
            raise ValueError(
                f'{name}: expected one of {", ".join(choices)}, got {value!r}'
            )
    largest_groups(1, groups)
    model = get_model(cfg)
    changes: dict = {}
    if where != 'neck':
        _change_parts(
            changes,
            find_parts(model, BACKBONE_KEYS),
            lambda backbone: _backbone_change(
                backbone, groups, stages, position
            ),
            'backbone',
        )
    if where != 'backbone':
        _change_parts(
            changes,
            find_parts(model, ('neck',)),
            lambda neck: _neck_change(neck, groups),
            'neck',
        )
    imports = dict(cfg.get('custom_imports') or {})
    imports['imports'] = [*_as_list(imports.get('imports')), 'sge_mmdet']
    return dict(custom_imports=imports, model=changes)


def _change_parts(
    changes: dict,
    parts: 'List[Tuple[Tuple[str, ...], Any]]',
    change: Any,
    kind: str,
) -> None:
    """Add the change of each part; raise if no part can be changed."""
    refused = []
    for path, part in parts:
        try:
            changed, note = change(part)
        except NotApplicableError as error:
            refused.append(f'model.{".".join(path)}: {error}')
            continue
        except ValueError as error:
            raise ValueError(f'model.{".".join(path)}: {error}') from error
        if note:
            print_log(f'model.{".".join(path)}: {note}', 'current')
        target = changes
        for key in path[:-1]:
            target = target.setdefault(key, {})
        target[path[-1]] = changed
    if len(refused) == len(parts):
        raise NotApplicableError(
            '\n'.join(refused)
            or f'The model has no part named {kind}; give the config of a '
            'detector that has one'
        )
    for reason in refused:
        print_log(f'Left without SGE: {reason}', 'current')


def find_parts(
    model: dict, keys: Sequence[str]
) -> 'List[Tuple[Tuple[str, ...], Any]]':
    """Return the parts of a model with the given names, and their paths."""
    return list(_walk(model, keys, ()))


def _walk(
    model: dict, keys: Sequence[str], path: 'Tuple[str, ...]'
) -> 'Iterator[Tuple[Tuple[str, ...], Any]]':
    for key, value in model.items():
        if key in keys and isinstance(value, (dict, list, tuple)):
            yield (*path, key), value
        if isinstance(value, dict) and not key.startswith('teacher'):
            yield from _walk(value, keys, (*path, key))


def _backbone_change(
    backbone: dict, groups: int, stages: Sequence[bool], position: str
) -> Tuple[dict, str]:
    """Return the change of a backbone's config and a note for the log."""
    cls = _get_class(backbone)
    if not (isinstance(cls, type) and issubclass(cls, ResNet)):
        raise NotApplicableError(
            f'expected a ResNet of MMDetection (ResNet, ResNeXt, Res2Net, '
            'RegNet, ResNeSt, DetectoRS_ResNet, DetectoRS_ResNeXt or '
            f"TridentResNet), got {_type_name(backbone)}; where='neck' adds "
            'SGE after the outputs of the neck instead'
        )
    plain = _build_without_weights(backbone)
    if _has_sge(plain):
        raise ValueError(
            f'{_type_name(backbone)} already has SGE; change its options '
            'instead of adding it again'
        )
    layers = [getattr(plain, name) for name in plain.res_layers]
    stages = _check_stages(stages, len(layers))
    channels = [_count_channels(layer[-1], position) for layer in layers]
    fitting = [largest_groups(count, groups) for count in channels]
    if position == 'after_conv3' and cls in SGE_BACKBONES:
        change = _change_by_type(cls, fitting, stages)
    elif hasattr(layers[0][0], 'conv3'):
        change = _change_by_plugin(backbone, fitting, stages, position)
    else:
        raise NotApplicableError(
            f'{cls.__name__} of depth {plain.depth} has blocks of two '
            'convolutions, which take no plugins; use a ResNet with '
            "position='after_conv3', which puts SGE at the end of its blocks"
        )
    # Raise here if the result cannot be built, not when training starts.
    _build_without_weights(_merged(backbone, change))
    adapted = [
        f'stage {i + 1}: {fitting[i]} groups for {channels[i]} channels'
        for i in range(len(layers))
        if stages[i] and fitting[i] != groups
    ]
    note = f'{groups} groups do not fit; {", ".join(adapted)}'
    return change, note if adapted else ''


def _check_stages(
    stages: Sequence[bool], num_stages: int
) -> 'Tuple[bool, ...]':
    """Return one value for each stage of a backbone; raise if none is true."""
    stages = tuple(bool(stage) for stage in stages)
    if len(stages) < num_stages:
        raise ValueError(
            f'stages: expected a value for each of the {num_stages} stages, '
            f'got {len(stages)}: {" ".join(str(int(one)) for one in stages)}; '
            f'for SGE in all write {" ".join("1" * num_stages)}, and 0 for a '
            'stage without SGE'
        )
    stages = stages[:num_stages]
    if not any(stages):
        raise ValueError(
            f'stages={stages} selects no stage; set at least one to True'
        )
    return stages


def _change_by_type(
    cls: type, fitting: 'List[int]', stages: 'Tuple[bool, ...]'
) -> dict:
    change: dict = dict(type=SGE_BACKBONES[cls].__name__)
    used = {groups for groups, stage in zip(fitting, stages) if stage}
    if used != {64}:
        change['sge'] = dict(groups=fitting if len(used) > 1 else used.pop())
    if not all(stages):
        change['sge_stages'] = stages
    return change


def _change_by_plugin(
    backbone: dict,
    fitting: 'List[int]',
    stages: 'Tuple[bool, ...]',
    position: str,
) -> dict:
    """Add a plugin for each number of groups to the existing plugins."""
    plugins = list(deepcopy(backbone.get('plugins') or ()))
    used = [g if stage else 0 for g, stage in zip(fitting, stages)]
    for groups in dict.fromkeys(filter(None, used)):
        plugin = dict(
            cfg=dict(type='SGE', groups=groups),
            stages=tuple(g == groups for g in used),
            position=position,
        )
        if all(plugin['stages']):
            del plugin['stages']
        plugins.append(plugin)
    return dict(plugins=plugins)


def _count_channels(block: Any, position: str) -> int:
    """Return the number of channels that the groups must divide."""
    if not hasattr(block, 'conv3'):
        return block.conv2.out_channels
    if position == 'after_conv3':
        return block.conv3.out_channels
    # ResNeXt's blocks first build their plugins with ResNet's channels.
    return math.gcd(block.conv3.in_channels, block.planes)


def _neck_change(neck: Any, groups: int) -> Tuple[Any, str]:
    """Return the change of a neck's config and a note for the log."""
    if isinstance(neck, (list, tuple)):
        parts = list(deepcopy(neck))
        for i, part in enumerate(parts):
            if _get_class(part) in SGE_NECKS:
                change, note = _neck_change(part, groups)
                # A list in a derived config replaces the inherited list.
                parts[i] = _merged(part, change)
                return parts, note
        raise NotApplicableError(
            f'expected one of {_neck_names()} among the necks, got '
            f'{", ".join(map(_type_name, neck))}; SGE is added after the '
            'outputs of these'
        )
    cls = _get_class(neck)
    if isinstance(cls, type) and issubclass(cls, SGEOutputs):
        raise ValueError(
            f'{cls.__name__} already has SGE; change its options instead of '
            'adding it again'
        )
    if cls not in SGE_NECKS:
        raise NotApplicableError(
            f'expected one of {_neck_names()}, got {_type_name(neck)}; SGE is '
            'added after the outputs of these'
        )
    channels = _build_without_weights(
        dict(neck, type=SGE_NECKS[cls], sge=dict(groups=1))
    ).out_channels
    fitting = largest_groups(channels, groups)
    change = dict(type=SGE_NECKS[cls].__name__)
    if fitting != 64:
        change['sge'] = dict(groups=fitting)
    return change, '' if fitting == groups else (
        f'{groups} groups do not fit; {fitting} for {channels} channels'
    )


def _neck_names() -> str:
    return ', '.join(cls.__name__ for cls in SGE_NECKS)


def _get_class(part: Any) -> Optional[Any]:
    kind = part.get('type') if isinstance(part, dict) else None
    return MODELS.get(kind) if isinstance(kind, str) else kind


def _type_name(part: Any) -> str:
    kind = part.get('type') if isinstance(part, dict) else part
    return getattr(kind, '__name__', None) or repr(kind)


def _build_without_weights(cfg: dict) -> Any:
    """Build a part of a model on the meta device, without weights."""
    try:
        with torch.device('meta'):
            return build_part(cfg)
    except Exception as error:
        # Constructors raise any type of error for bad options.
        raise ValueError(
            f'{_type_name(cfg)} cannot be built: '
            f'{type(error).__name__}: {error}'
        ) from error


def _has_sge(module: nn.Module) -> bool:
    return any(
        isinstance(part, SpatialGroupEnhance) for part in module.modules()
    )


def _merged(old: Any, change: Any) -> Any:
    """Return a config merged with a change in the way of ``_base_``."""
    if not (isinstance(old, dict) and isinstance(change, dict)):
        return deepcopy(change)
    new = deepcopy(old)
    for key, value in change.items():
        new[key] = _merged(old.get(key), value)
    return new


def _as_list(imports: Union[str, Sequence[str], None]) -> 'List[str]':
    if not imports:
        return []
    return [imports] if isinstance(imports, str) else list(imports)
