"""Registration of layers that backbones take as plugins."""

from typing import Any, Callable, TypeVar, cast

from mmdet.registry import MODELS
from mmengine.registry import MODELS as ROOT_MODELS

from ...utils.registration import register

Layer = TypeVar('Layer', bound=type)


def register_plugin(*root_names: str) -> Callable[[Layer], Layer]:
    """Return a decorator that registers a layer as a plugin.

    MMDetection's registry gets the name of the class and its abbreviation,
    ``_abbr_`` in capitals, after which mmcv names the plugin's module. mmcv
    looks a plugin up in the registry of the default scope, and where there is
    no default scope in MMEngine's root registry.

    Args:
        *root_names (str): Names in the root registry, which all OpenMMLab
            packages share: none that others are likely to use.
    """

    def decorate(layer: Layer) -> Layer:
        names = dict.fromkeys(
            [layer.__name__, cast(Any, layer)._abbr_.upper()]
        )
        register(MODELS, *names)(layer)
        if root_names:
            register(ROOT_MODELS, *root_names)(layer)
        return layer

    return decorate
