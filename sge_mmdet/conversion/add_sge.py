"""Adding SGE to the config of a detector: backbone, neck or heads."""

from copy import deepcopy
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Sequence,
    Tuple,
    Union,
)

from mmengine.config import Config
from mmengine.logging import print_log

from ..models.layers import PLUGIN_POSITIONS
from ..ops import largest_groups
from ..utils import get_model, quiet_log
from .changes import (
    Where,
    backbone_change,
    head_change,
    neck_change,
    outputs_change,
)
from .parts import NotApplicableError, merged

# A recursive feature pyramid has a backbone of its own. The teacher of a
# distillation gets no SGE: its weights are fixed, so its output would change.
BACKBONE_KEYS = ('backbone', 'rfp_backbone')
HEAD_KEYS = ('bbox_head', 'mask_head', 'rpn_head')


class Place(NamedTuple):
    """A kind of part, and how SGE gets into it.

    Attributes:
        keys: Names of such parts in the config of a model.
        change: Function of a part and a :class:`Where` that returns the
            change and a note.
    """

    keys: Tuple[str, ...]
    change: Callable[[Any, Where], Tuple[Any, str]]


PLACES: Dict[str, Tuple[Place, ...]] = dict(
    backbone=(Place(BACKBONE_KEYS, backbone_change),),
    # A recursive pyramid does not call the forward function of its backbone.
    outputs=(Place(('backbone',), outputs_change),),
    neck=(Place(('neck',), neck_change),),
    heads=(Place(HEAD_KEYS, head_change),),
)
PLACES['both'] = PLACES['backbone'] + PLACES['neck']


def add_sge(
    cfg: Config,
    groups: int = 64,
    stages: Sequence[bool] = (True,) * 4,
    position: str = 'after_conv3',
    where: str = 'backbone',
    preserve: bool = False,
) -> Config:
    """Return a config with SGE in a part of the model (arXiv 1905.09646).

    All parts of the kind get SGE, also inside semi-supervised, distillation
    and tracking models. The teacher of a distillation does not change. If
    ``groups`` does not divide the channels of a place, the largest smaller
    divisor is used and logged.

    Args:
        cfg (Config): Config with a ``model``; it is not changed.
        groups (int): Number of groups. Default: 64.
        stages (Sequence[bool]): Whether each stage of a ResNet of MMDetection
            gets SGE; surplus values are ignored. Default: all four.
        position (str): Position in the block of a ResNet: "after_conv1",
            "after_conv2" or "after_conv3", the end of the residual branch, as
            in the paper. Default: "after_conv3".
        where (str): Part that gets SGE. "backbone": the end of each residual
            branch, or the outputs of a backbone without any, such as Swin.
            "outputs": the outputs of the backbone. "neck": the outputs of the
            neck. "both": backbone and neck. "heads": the last convolutions of
            the heads before their predictions. Default: "backbone".
        preserve (bool): Whether the model with its old weights computes what
            it did until it is trained; otherwise SGE first scales by 0.73.
            Default: False.

    Returns:
        Config: New config, which imports ``sge_mmdet``.

    Raises:
        NotApplicableError: If SGE cannot be added to any part of the kind;
            this is a ValueError, which names the places that can have SGE.
        ValueError: If an argument has an unknown value, or a part cannot be
            built or already has SGE, and no other part gets it.

    Examples:
        >>> from mmengine.config import Config
        >>> from sge_mmdet import add_sge
        >>> cfg = Config(
        ...     dict(model=dict(backbone=dict(type='ResNeSt', depth=50)))
        ... )
        >>> add_sge(cfg).model.backbone.plugins
        [{'cfg': {'type': 'SGE', 'groups': 64}, 'position': 'after_conv3'}]
        >>> cfg = Config(dict(model=dict(backbone=dict(type='CSPNeXt'))))
        >>> add_sge(cfg).model.backbone
        {'type': 'SGECSPNeXt'}
    """
    new = deepcopy(cfg)
    changes = sge_changes(cfg, groups, stages, position, where, preserve)
    # Config's own merge would mix the items of lists.
    for key, value in changes.items():
        new[key] = merged(cfg.get(key), value)
    return new


def sge_changes(
    cfg: Config,
    groups: int = 64,
    stages: Sequence[bool] = (True,) * 4,
    position: str = 'after_conv3',
    where: str = 'backbone',
    preserve: bool = False,
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
    options = Where(groups, stages, position, preserve)
    if where not in ('backbone', 'both') and options.resnet_options:
        raise ValueError(
            f'{" and ".join(options.resnet_options)}: only for '
            f'where=backbone or both, got {where}; leave it out'
        )
    try:
        changes = _model_changes(model, where, options)
    except NotApplicableError as error:
        others = _possible_places(model, where, options)
        if not others:
            raise
        raise NotApplicableError(
            f'{error}\nSGE can be added to this model with where='
            f'{" or ".join(map(repr, others))}'
        ) from error
    imports = dict(cfg.get('custom_imports') or {})
    imports['imports'] = list(
        dict.fromkeys([*_as_list(imports.get('imports')), 'sge_mmdet'])
    )
    return dict(custom_imports=imports, model=changes)


def _model_changes(model: dict, where: str, options: Where) -> dict:
    """Return the changes of all parts at a place."""
    changes: dict = {}
    for place in PLACES[where]:
        _change_parts(changes, model, place, options)
    return changes


def _possible_places(model: dict, refused: str, options: Where) -> 'List[str]':
    """Return the names of the places that can have SGE in a model."""
    found = []
    for where in PLACES:
        if where not in (refused, 'both'):
            try:
                with quiet_log():
                    _model_changes(model, where, options)
            except ValueError:
                continue
            found.append(where)
    return found


def _change_parts(
    changes: dict, model: dict, place: Place, options: Where
) -> None:
    """Add the change of each part; raise if no part can be changed."""
    refused: List[str] = []
    broken: List[str] = []
    parts = find_parts(model, place.keys)
    for path, part in parts:
        name = f'model.{".".join(path)}'
        try:
            changed, note = place.change(part, options)
        except NotApplicableError as error:
            refused.append(f'{name}: {error}')
            continue
        except ValueError as error:
            broken.append(f'{name}: {error}')
            continue
        if note:
            print_log(f'{name}: {note}', 'current')
        target = changes
        for key in path[:-1]:
            target = target.setdefault(key, {})
        target[path[-1]] = merged(target.get(path[-1]), changed)
    if len(refused) + len(broken) == len(parts):
        if broken:
            raise ValueError('\n'.join(broken + refused))
        raise NotApplicableError(
            '\n'.join(refused)
            or f'The model has no part named {" or ".join(place.keys)}'
        )
    for reason in broken + refused:
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


def _as_list(imports: Union[str, Sequence[str], None]) -> 'List[str]':
    if not imports:
        return []
    return [imports] if isinstance(imports, str) else list(imports)
