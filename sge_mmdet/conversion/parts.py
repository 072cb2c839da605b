"""Parts of a model's config: their classes, and building them."""

from copy import deepcopy
from typing import Any, Optional

import torch
from mmdet.registry import MODELS
from torch import nn
from torch.overrides import TorchFunctionMode

from ..models.layers import SpatialGroupEnhance
from ..utils import build_part


class NotApplicableError(ValueError):
    """Raised for a part of a model that SGE cannot be added to."""


class _ScheduleOnCpu(TorchFunctionMode):
    """Keeps ``torch.linspace`` on the CPU.

    Backbones read their rates of dropped paths from it, which the meta device
    cannot give.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs.setdefault('device', 'cpu')
        return func(*args, **kwargs)


def get_class(part: Any) -> Optional[Any]:
    """Return the class that a part names, None if there is none.

    Args:
        part (dict): Config of a backbone, neck or head.

    Raises:
        ValueError: If its package cannot be imported, or the name is that of
            a type with SGE which does not exist.
    """
    kind = part.get('type') if isinstance(part, dict) else None
    if not isinstance(kind, str):
        return kind
    try:
        return MODELS.get(kind)
    except Exception as error:
        # An import raises any type of error.
        text = error.args[0] if isinstance(error, KeyError) else error
        raise ValueError(f'{kind!r} cannot be found: {text}') from error


def type_name_of(part: Any) -> str:
    """Return the name of a part's type, for messages."""
    kind = part.get('type') if isinstance(part, dict) else part
    return getattr(kind, '__name__', None) or repr(kind)


def build_without_weights(cfg: dict) -> Any:
    """Build a part of a model on the meta device, without weights."""
    try:
        with torch.device('meta'), _ScheduleOnCpu():
            return build_part(cfg)
    except Exception as error:
        # Constructors raise any type of error for bad options.
        raise ValueError(
            f'{type_name_of(cfg)} cannot be built: '
            f'{type(error).__name__}: {error}'
        ) from error


def has_sge(module: nn.Module) -> bool:
    """Return whether there is an SGE layer inside a module."""
    return any(
        isinstance(part, SpatialGroupEnhance) for part in module.modules()
    )


def merged(old: Any, change: Any) -> Any:
    """Return a config merged with a change in the way of ``_base_``."""
    if not (isinstance(old, dict) and isinstance(change, dict)):
        return deepcopy(change)
    new = deepcopy(old)
    for key, value in change.items():
        new[key] = merged(old.get(key), value)
    return new
