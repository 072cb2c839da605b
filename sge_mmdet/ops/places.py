"""Where :func:`sge_mmdet.ops.insert_sge` puts SGE, and the channels there."""

import difflib
from fnmatch import fnmatchcase
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    Sequence,
    Tuple,
    Union,
)

import torch
from torch import nn

from .inserted import EnhancedLayer, EnhancedOutputs, is_map, not_a_map
from .layer import SpatialGroupEnhance

Places = Union[str, Sequence[str], Callable[[str, nn.Module], bool]]
# Attributes in which the layers of PyTorch keep their output channels.
CHANNEL_ATTRIBUTES = (
    'out_channels',
    'num_features',
    'num_channels',
    'out_features',
)
# Modules that have no forward function.
CONTAINERS = (nn.ModuleList, nn.ModuleDict)


def find_places(module: nn.Module, after: Any) -> Dict[str, nn.Module]:
    """Return the modules that SGE follows, by name.

    Args:
        module: The module that SGE is inserted into.
        after: What :func:`sge_mmdet.ops.insert_sge` takes.

    Raises:
        ValueError: If nothing is named, or what cannot have SGE.
    """
    if after is None:
        places = {'': module}
    elif callable(after):
        places = {
            name: part for name, part in _parts(module) if after(name, part)
        }
        if not places:
            raise ValueError(
                'insert_sge: the function given as after chose none of the '
                f'modules in {type(module).__name__}; it is called with the '
                'name and the module of each: '
                f'{", ".join(name for name, _ in _parts(module)) or "(none)"}'
            )
    else:
        places = _matches(
            module, [after] if isinstance(after, str) else list(after)
        )
    _check_places(places)
    # A shared module has one place, under the first of its names.
    names = {id(part): name for name, part in reversed(places.items())}
    return {
        name: part for name, part in places.items() if name == names[id(part)]
    }


def _parts(module: nn.Module) -> Iterator[Tuple[str, nn.Module]]:
    """Yield all modules inside a module, apart from SGE and what it holds."""
    held: Tuple[str, ...] = ()
    # A shared module has a place under each of its names.
    for name, part in module.named_modules(remove_duplicate=False):
        if not name or name.startswith(held):
            continue
        if isinstance(part, (SpatialGroupEnhance, EnhancedOutputs)):
            continue
        if isinstance(part, EnhancedLayer):
            held += (f'{name}.',)
        yield name, part


def _matches(
    module: nn.Module, patterns: Sequence[str]
) -> Dict[str, nn.Module]:
    """Return the modules whose names match one of the patterns."""
    parts = dict(_parts(module))
    places: Dict[str, nn.Module] = {}
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(
                'insert_sge: after takes patterns for names of modules, such '
                f"as '*.conv2', or a function, got {pattern!r}"
            )
        found = [name for name in parts if fnmatchcase(name, pattern)]
        if not found:
            raise ValueError(
                f'insert_sge: after={pattern!r} matches no module of '
                f'{type(module).__name__}; the nearest are '
                f'{", ".join(_nearest(pattern, list(parts)))}'
            )
        places.update((name, parts[name]) for name in found)
    return places


def _nearest(pattern: str, names: Sequence[str]) -> List[str]:
    """Return patterns like this one that match something, at most three."""
    depth = pattern.count('.')
    similar = [*names, *(f'*.{name.rpartition(".")[2]}' for name in names)]
    near = difflib.get_close_matches(
        pattern, list(dict.fromkeys(similar)), n=3, cutoff=0.4
    )
    shallow = [name for name in names if name.count('.') <= depth]
    return [repr(name) for name in near or shallow[:3] or ['(none)']]


def _check_places(places: Dict[str, nn.Module]) -> None:
    """Raise unless each place can have SGE, and none is inside another."""
    for name, part in places.items():
        place = place_name(name, part)
        if isinstance(part, CONTAINERS):
            raise ValueError(
                f'insert_sge: {place} is a {type(part).__name__}, which is '
                f"never called itself; name the modules in it: '{name}.*'"
            )
        if hasattr(part, 'sge'):
            raise ValueError(
                f'insert_sge: {place} already has a child or an attribute '
                'named sge; insert SGE once at each place'
            )
        outer = next((at for at in places if name.startswith(f'{at}.')), None)
        if outer is not None:
            raise ValueError(
                f'insert_sge: after names {outer} and {name} inside it; '
                'choose one of them. A * also matches dots; give a list of '
                'names or a function of (name, module)'
            )


def place_name(name: str, module: nn.Module) -> str:
    """Return what a place is called in messages.

    Args:
        name: Name of the module, empty for the one that SGE is inserted into.
        module: The module there.
    """
    return name or type(module).__name__


def probe_channels(
    module: nn.Module, places: Dict[str, nn.Module], example: Any
) -> Dict[str, Any]:
    """Return what each place returns when the module runs on an example.

    It runs in evaluation mode without gradients, which leaves running
    statistics as they are.

    Args:
        module: The module that SGE is inserted into.
        places: The modules that SGE follows, by name.
        example: Input of the module: a tensor, or a tuple of arguments.

    Raises:
        ValueError: If a place is not called.
    """
    returned: Dict[str, Any] = {}

    def recorder(name: str) -> Callable[..., None]:
        def record(part: nn.Module, args: Any, output: Any) -> None:
            returned[name] = output

        return record

    modes = {part: part.training for part in module.modules()}
    hooks = [
        part.register_forward_hook(recorder(name))
        for name, part in places.items()
    ]
    try:
        module.eval()
        with torch.no_grad():
            module(*(example if isinstance(example, tuple) else (example,)))
    finally:
        for hook in hooks:
            hook.remove()
        for part, mode in modes.items():
            part.training = mode
    unused = [name for name in places if name not in returned]
    if unused:
        raise ValueError(
            f'insert_sge: {unused[0]} is not called when '
            f'{type(module).__name__} runs on the example; name modules that '
            'are'
        )
    return returned


def channels_of(place: str, output: Any, outputs: Any) -> Any:
    """Return the channels of what a place returned.

    Args:
        place: Name of the place, for messages.
        output: Result of the module.
        outputs: Indices or keys of the maps that get SGE, or None.

    Returns:
        An int for a map, a list for a tuple or list of maps, a dict for a
        mapping; None in the place of what gets no SGE.

    Raises:
        TypeError: If what gets SGE is no map.
    """
    if is_map(output):
        return output.shape[1]
    if isinstance(output, Mapping):
        items: Any = output.items()
    elif isinstance(output, (tuple, list)):
        items = enumerate(output)
    else:
        raise TypeError(not_a_map(place, output))
    found: Dict[Any, Any] = {}
    for key, value in items:
        if outputs is not None and key not in outputs:
            found[key] = None
        elif is_map(value):
            found[key] = value.shape[1]
        else:
            raise TypeError(not_a_map(f'{place}[{key!r}]', value))
    return found if isinstance(output, Mapping) else list(found.values())


def known_channels(name: str, part: nn.Module) -> Any:
    """Return the channels of a module's outputs by its attributes.

    Args:
        name: Name of the module.
        part: The module.

    Returns:
        An int for one map; a list for a module with ``num_outs``, as feature
        pyramids have.

    Raises:
        ValueError: If the module has neither attributes nor layers that tell.
    """
    for layer in (part, *reversed(list(part.modules()))):
        for attribute in CHANNEL_ATTRIBUTES:
            channels = getattr(layer, attribute, None)
            levels = getattr(layer, 'num_outs', None)
            if isinstance(channels, int) and channels > 0:
                return [channels] * levels if levels else channels
            if isinstance(channels, (tuple, list)) and layer is part:
                return list(channels)
    raise ValueError(
        f'insert_sge: the channels of what {place_name(name, part)} returns '
        'are unknown; give out_channels=, or example= (an input of '
        f'{"it" if not name else "the whole module"})'
    )
