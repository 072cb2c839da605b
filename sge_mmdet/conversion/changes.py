"""Changes of the parts of a detector's config that add SGE to them."""

import math
import warnings
from copy import deepcopy
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple, Union

from mmdet.models.backbones import ResNet, ResNeXt

from ..models.backbones import SGEResNet, SGEResNeXt
from ..models.families import default_place, kind_of
from ..models.generated import GeneratedSGE, find_type, type_name
from ..models.layers import SpatialGroupEnhance
from ..models.necks import SGE_NECKS, SGEOutputs
from ..ops import largest_groups
from .parts import (
    NotApplicableError,
    build_without_weights,
    get_class,
    has_sge,
    merged,
    type_name_of,
)

# Backbones that are replaced by a class with SGE at the end of each block.
SGE_BACKBONES = {ResNet: SGEResNet, ResNeXt: SGEResNeXt}
END = 'after_conv3'
ALL_STAGES = (True,) * 4
DEFAULT_GROUPS = 64


class Where(NamedTuple):
    """Where SGE goes in a part, and how it starts.

    Attributes:
        groups: Number of groups.
        stages: Whether each stage of a ResNet gets SGE.
        position: Position in the blocks of a ResNet.
        preserve: Whether the part computes at first what it did.
    """

    groups: int
    stages: Sequence[bool]
    position: str
    preserve: bool

    @property
    def resnet_options(self) -> List[str]:
        """list[str]: Names of the given options for the blocks of ResNets."""
        given = dict(
            stages=tuple(self.stages) != ALL_STAGES,
            position=self.position != END,
        )
        return [name for name, is_given in given.items() if is_given]


def backbone_change(backbone: Any, where: Where) -> Tuple[dict, str]:
    """Return the change of a backbone's config and a note for the log.

    Args:
        backbone (dict): Config of the backbone.
        where (Where): Where SGE goes.

    Raises:
        NotApplicableError: If SGE cannot be added there.
        ValueError: If the backbone cannot be built or already has SGE.
    """
    cls = get_class(backbone)
    if not (isinstance(cls, type) and issubclass(cls, ResNet)):
        return _block_change(backbone, cls, where)
    plain = _build_plain(backbone)
    layers = [getattr(plain, name) for name in plain.res_layers]
    stages = _check_stages(where.stages, len(layers))
    channels = [_count_channels(layer[-1], where.position) for layer in layers]
    fitting = [largest_groups(count, where.groups) for count in channels]
    if where.position == END and cls in SGE_BACKBONES:
        change = _change_by_type(cls, fitting, stages, where.preserve)
    elif hasattr(layers[0][0], 'conv3'):
        change = _change_by_plugin(backbone, fitting, stages, where)
    elif where.position == END and all(stages):
        return _generated_change(backbone, cls, where, {})
    else:
        raise NotApplicableError(
            f'{cls.__name__} of depth {plain.depth} has blocks of two '
            'convolutions, which take no plugins; use a ResNet with '
            "position='after_conv3', which puts SGE at the end of its blocks"
        )
    # Raise here if the result cannot be built, not when training starts.
    build_without_weights(merged(backbone, change))
    adapted = [
        f'stage {i + 1}: {fitting[i]} groups for {channels[i]} channels'
        for i in range(len(layers))
        if stages[i] and fitting[i] != where.groups
    ]
    note = f'{where.groups} groups do not fit; {", ".join(adapted)}'
    return change, note if adapted else ''


def _block_change(backbone: Any, cls: Any, where: Where) -> Tuple[dict, str]:
    """Return the change of a backbone that is no ResNet of MMDetection."""
    plain = _build_plain(backbone, cls, 'backbone')
    if where.resnet_options:
        raise NotApplicableError(
            f'{" and ".join(where.resnet_options)}: only for the ResNets of '
            f'MMDetection, got {type_name_of(backbone)}; leave it out, or '
            'name modules with sge=dict(after=[...]) of '
            f'{type_name(type(plain))}'
        )
    return _generated_change(backbone, cls, where, {})


def outputs_change(backbone: Any, where: Where) -> Tuple[dict, str]:
    """Return the change that puts SGE behind the outputs of a backbone.

    Arguments, results and errors are those of :func:`backbone_change`.
    """
    cls = get_class(backbone)
    plain = _build_plain(backbone, cls, 'backbone')
    if cls not in SGE_BACKBONES:
        is_default = default_place(plain) == 'outputs'
        sge = {} if is_default else dict(after='outputs')
        return _generated_change(backbone, cls, where, sge)
    change: dict = dict(
        type=SGE_BACKBONES[cls].__name__,
        sge=dict(after='outputs', **options_of(where.groups, where.preserve)),
    )
    return change, _try_change(backbone, change, where)


def neck_change(neck: Any, where: Where) -> Tuple[Any, str]:
    """Return the change of a neck's config and a note for the log.

    Args:
        neck (dict or list[dict]): Config of the neck, or of several; the
            first that is a pyramid gets SGE.
        where (Where): Where SGE goes.

    Raises:
        NotApplicableError: If SGE cannot be added there.
        ValueError: If the neck cannot be built or already has SGE.
    """
    if isinstance(neck, (list, tuple)):
        pyramids = [part for part in neck if get_class(part) in SGE_NECKS]
        return _first_change(neck, pyramids or neck, neck_change, where)
    cls = get_class(neck)
    if isinstance(cls, type) and issubclass(cls, SGEOutputs):
        raise ValueError(_already(cls.__name__))
    if cls not in SGE_NECKS:
        _build_plain(neck, cls, 'neck')
        return _generated_change(neck, cls, where, {})
    channels = build_without_weights(
        dict(neck, type=SGE_NECKS[cls], sge=dict(groups=1))
    ).out_channels
    fitting = largest_groups(channels, where.groups)
    change: dict = dict(type=SGE_NECKS[cls].__name__)
    sge = options_of(fitting, where.preserve)
    if sge:
        change['sge'] = sge
    return change, '' if fitting == where.groups else (
        f'{where.groups} groups do not fit; {fitting} for {channels} channels'
    )


def head_change(head: Any, where: Where) -> Tuple[Any, str]:
    """Return the change of a head's config and a note for the log.

    Args:
        head (dict or list[dict]): Config of the head, or of the heads of a
            cascade, which all get SGE.
        where (Where): Where SGE goes.

    Raises:
        NotApplicableError: If SGE cannot be added there.
        ValueError: If the head cannot be built or already has SGE.
    """
    if isinstance(head, (list, tuple)):
        changes = [head_change(part, where) for part in head]
        return (
            # A list in a derived config replaces the inherited list.
            [merged(part, change) for part, (change, _) in zip(head, changes)],
            '; '.join(dict.fromkeys(note for _, note in changes if note)),
        )
    cls = get_class(head)
    plain = _build_plain(head, cls, 'head')
    try:
        default_place(plain)
    except ValueError as error:
        raise NotApplicableError(str(error)) from error
    return _generated_change(head, cls, where, {})


def _first_change(
    parts: Sequence[Any], candidates: Sequence[Any], change: Any, where: Where
) -> Tuple[Any, str]:
    """Return a list of parts, of which the first possible one is changed."""
    refused = []
    for i, part in enumerate(parts):
        if part in candidates:
            try:
                changed, note = change(part, where)
            except NotApplicableError as error:
                refused.append(str(error))
                continue
            # A list in a derived config replaces the inherited list.
            new = list(deepcopy(parts))
            new[i] = merged(part, changed)
            return new, note
    raise NotApplicableError('; '.join(refused) or 'the list is empty')


def _build_plain(part: Any, cls: Any = ResNet, kind: str = 'backbone') -> Any:
    """Build a part without weights, unless it cannot have SGE.

    Raises:
        NotApplicableError: If it is not of the kind.
        ValueError: If it cannot be built or already has SGE.
    """
    if not isinstance(cls, type) or (
        kind != 'backbone' and kind_of(cls) not in (kind, 'backbone')
    ):
        raise NotApplicableError(
            f'expected the type of a {kind}, got {type_name_of(part)}'
        )
    plain = build_without_weights(part)
    if issubclass(cls, GeneratedSGE) or has_sge(plain):
        raise ValueError(_already(type_name_of(part)))
    return plain


def _already(name: str) -> str:
    return (
        f'{name} already has SGE; change its options instead of adding it '
        'again'
    )


def _generated_change(
    part: Any, cls: Any, where: Where, sge: dict
) -> Tuple[dict, str]:
    """Return the change to the generated class of a part, and a note."""
    name = type_name(cls)
    try:
        found = find_type(name)
    except KeyError as error:
        raise NotApplicableError(error.args[0]) from error
    if not issubclass(found, cls):
        raise NotApplicableError(
            f'{name} is another class, {found.__module__}.{found.__name__}; '
            f'register {cls.__name__} under another name'
        )
    change: dict = dict(type=name)
    sge = {**sge, **options_of(where.groups, where.preserve)}
    if sge:
        change['sge'] = sge
    return change, _try_change(part, change, where)


def _try_change(part: Any, change: dict, where: Where) -> str:
    """Build a changed part; return a note on groups that do not fit."""
    try:
        with warnings.catch_warnings():
            if where.groups == DEFAULT_GROUPS:
                # The note says which groups were chosen.
                warnings.filterwarnings('ignore', 'insert_sge: in ')
            built = build_without_weights(merged(part, change))
    except ValueError as error:
        raise NotApplicableError(str(error)) from error
    adapted: Dict[int, int] = {
        layer.in_channels: layer.groups
        for layer in built.modules()
        if isinstance(layer, SpatialGroupEnhance)
        and layer.groups != where.groups
    }
    pairs = ', '.join(
        f'{groups} for {channels} channels'
        for channels, groups in sorted(adapted.items())
    )
    return f'{where.groups} groups do not fit; {pairs}' if adapted else ''


def options_of(groups: Union[int, List[int]], preserve: bool) -> dict:
    """Return the options of SGE that are not at their defaults."""
    options: dict = {} if groups == DEFAULT_GROUPS else dict(groups=groups)
    return dict(options, preserve=True) if preserve else options


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
    cls: type,
    fitting: 'List[int]',
    stages: 'Tuple[bool, ...]',
    preserve: bool,
) -> dict:
    change: dict = dict(type=SGE_BACKBONES[cls].__name__)
    used = {groups for groups, stage in zip(fitting, stages) if stage}
    sge = options_of(fitting if len(used) > 1 else used.pop(), preserve)
    if sge:
        change['sge'] = sge
    if not all(stages):
        change['sge_stages'] = stages
    return change


def _change_by_plugin(
    backbone: dict,
    fitting: 'List[int]',
    stages: 'Tuple[bool, ...]',
    where: Where,
) -> dict:
    """Add a plugin for each number of groups to the existing plugins."""
    plugins = list(deepcopy(backbone.get('plugins') or ()))
    used = [g if stage else 0 for g, stage in zip(fitting, stages)]
    for groups in dict.fromkeys(filter(None, used)):
        plugin: dict = dict(
            cfg=dict(type='SGE', groups=groups),
            stages=tuple(g == groups for g in used),
            position=where.position,
        )
        if where.preserve:
            plugin['cfg']['preserve'] = True
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
