"""What :func:`sge_mmdet.ops.insert_sge` puts into a module.

Where SGE goes, it becomes a child named ``sge`` of the module before it. Two
mechanisms apply it:

- A convolution or a norm is replaced by :class:`EnhancedLayer`, which runs it
  and SGE. Tools that convert or fuse such layers (SyncBN, ``fuse_conv_bn``)
  build new ones and would drop a hook.
- Any other module gets a forward hook, the function :func:`apply_inserted`,
  which deepcopy and pickle keep.
"""

from typing import Any, Dict, Mapping

import torch
from torch import Tensor, nn

from .layer import SpatialGroupEnhance


def is_map(value: Any) -> bool:
    """Return whether a value has the shape of a feature map.

    Args:
        value: Anything that a module returns.
    """
    return isinstance(value, Tensor) and value.dim() == 4


def describe_output(output: Any) -> str:
    """Return what a module returned, in words.

    Args:
        output: Anything that a module returns.
    """
    if isinstance(output, Tensor):
        return f'a tensor of shape {tuple(output.shape)}'
    name = type(output).__name__
    if isinstance(output, Mapping):
        return f'a {name} with the keys {", ".join(map(str, output))}'
    if isinstance(output, (tuple, list)):
        inside = ', '.join(type(part).__name__ for part in output)
        return f'a {name} of {len(output)} ({inside})'
    return f'a value of type {name}'


def not_a_map(place: str, output: Any) -> str:
    """Return the message on an output that SGE cannot follow.

    Args:
        place: The module, and the index of its output if it has several.
        output: Result of the module.
    """
    return (
        f'insert_sge: SGE takes a feature map of shape (N, C, H, W), but '
        f'{place} returned {describe_output(output)}. Name another module '
        'with after=...; where it returns several maps, give out_channels= '
        'of each, or example=, and choose some of them with outputs='
    )


class EnhancedOutputs(nn.ModuleDict):
    """SGE layers of the maps that a module returns, by index or key.

    Args:
        layers: Layers by the index or key of their map.
        is_complete: Whether every map has a layer.
    """

    def __init__(
        self, layers: Mapping[str, nn.Module], is_complete: bool
    ) -> None:
        super().__init__(layers)
        self.is_complete = is_complete


class EnhancedLayer(nn.Module):
    """A layer and the SGE behind it, in the place of the layer.

    The keys of the layer's weights are those that it had, and its attributes
    can be read here.

    Args:
        inner: Convolution or norm.
        sge: SGE layer, or layers of a module with several outputs.
        place: Name of the layer in the model, for messages.
    """

    def __init__(self, inner: nn.Module, sge: nn.Module, place: str) -> None:
        super().__init__()
        self.inner = inner
        self.sge = sge
        self.sge_place = place
        self.training = inner.training
        # MMEngine calls these hooks, but not an overridden state_dict().
        self._register_state_dict_hook(_strip_inner)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the layer where this module has none."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name in ('inner', '_modules'):
                raise
            return getattr(self.inner, name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the layer and SGE."""
        return apply_inserted(self, args, self.inner(*args, **kwargs))

    def _load_from_state_dict(
        self,
        state_dict: 'dict[str, Any]',
        prefix: str,
        local_metadata: dict,
        strict: bool,
        missing_keys: 'list[str]',
        *args: Any,
    ) -> None:
        """Move the layer's weights to where it is, under the names it had."""
        own = tuple(f'{prefix}{child}.' for child in self._modules)
        for key in list(state_dict):
            if key.startswith(prefix) and not key.startswith(own):
                moved = f'{prefix}inner.{key[len(prefix) :]}'
                state_dict[moved] = state_dict.pop(key)
        for key, value in self.inner.state_dict().items():
            moved = f'{prefix}inner.{key}'
            # A norm itself fills this number, which old weights lack.
            if moved in state_dict or key == 'num_batches_tracked':
                continue
            # Its own value, so that the layer does not report another name.
            state_dict[moved] = value
            if strict:
                missing_keys.append(f'{prefix}{key}')
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, *args
        )


def _strip_inner(
    module: nn.Module, state_dict: Any, prefix: str, local_metadata: dict
) -> None:
    """Give the weights of an :class:`EnhancedLayer` the names they had."""
    for key in [key for key in state_dict if key.startswith(prefix)]:
        # All are set anew, so that their order stays as well.
        value = state_dict.pop(key)
        inner = f'{prefix}inner.'
        if key.startswith(inner):
            key = f'{prefix}{key[len(inner) :]}'
        state_dict[key] = value


def apply_inserted(module: nn.Module, args: Any, output: Any) -> Any:
    """Apply the SGE layers of a module to what it returned: a forward hook.

    Args:
        module: Module with a child ``sge``.
        args: Its arguments, not used.
        output: Result of the module: a map, or a tuple, list or dict of maps.

    Raises:
        TypeError: If what should be enhanced is no feature map.
        ValueError: If a map has other channels than its layer, or the number
            of maps is another.
    """
    sge: Any = module.sge
    place = str(module.sge_place)
    if isinstance(sge, SpatialGroupEnhance):
        return _apply_layer(sge, output, place)
    is_dict = isinstance(output, Mapping)
    if not is_dict and not isinstance(output, (tuple, list)):
        raise TypeError(
            f'insert_sge: {place} was to return several maps, got '
            f'{describe_output(output)}; give one number as out_channels'
        )
    count = len(output)
    keys: Any = list(sge) if is_dict else [int(key) for key in sge]
    missing = [
        key for key in keys if (key not in output if is_dict else key >= count)
    ]
    if missing or (sge.is_complete and count != len(keys)):
        raise ValueError(
            f'insert_sge: {place} has SGE for {len(keys)} maps ('
            f'{", ".join(map(str, keys))}), got {describe_output(output)}; '
            'give out_channels of each map, or outputs=... to choose some'
        )
    found: Dict[Any, Any] = dict(
        output.items() if is_dict else enumerate(output)
    )
    for key, layer in zip(keys, sge.values()):
        found[key] = _apply_layer(layer, found[key], f'{place}[{key!r}]')
    if is_dict:
        return type(output)(found)
    maps = list(found.values())
    if hasattr(output, '_fields'):
        return type(output)(*maps)
    return type(output)(maps)


def _apply_layer(layer: SpatialGroupEnhance, x: Any, place: str) -> Tensor:
    """Return an enhanced map, after checks that name the module before it."""
    if not isinstance(x, Tensor) or x.dim() != 4:
        raise TypeError(not_a_map(place, x))
    # A trace would complain of a comparison with a traced size.
    if not torch.jit.is_tracing() and x.shape[1] != layer.in_channels:
        raise ValueError(
            f'insert_sge: SGE behind {place} was made for '
            f'{layer.in_channels} channels, got a map of {x.shape[1]}; give '
            'out_channels= or example= to insert_sge'
        )
    return layer(x)
