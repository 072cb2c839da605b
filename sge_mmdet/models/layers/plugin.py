"""Where plugins have to be registered."""

from typing import TypeVar

from mmdet.registry import MODELS
from mmengine.registry import MODELS as ROOT_MODELS

Layer = TypeVar('Layer', bound=type)


def register_plugin(layer: Layer) -> Layer:
    """Register a layer by its name and its abbreviation, ``_abbr_``.

    mmcv looks plugins up in the registry of the default scope, and in the
    root registry where there is none; every scope falls back on the root.

    Args:
        layer (type): Class of the layer. mmcv names a plugin's module after
            its abbreviation; in configs it is in capitals.
    """
    names = list(dict.fromkeys([layer.__name__, layer._abbr_.upper()]))
    for registry in (ROOT_MODELS, MODELS):
        registry.register_module(name=names, module=layer)
    return layer
