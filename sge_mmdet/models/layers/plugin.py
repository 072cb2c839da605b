"""Registration of layers that backbones take as plugins."""

from typing import Any, Callable, TypeVar, cast

from mmdet.registry import MODELS
from mmengine.registry import MODELS as ROOT_MODELS

from ...utils.registration import register

Layer = TypeVar('Layer', bound=type)


def register_plugin(*root_names: str) -> Callable[[Layer], Layer]:
    """Return a decorator that registers a layer as a plugin.

    MMDetection's registry gets the name of the class and its abbreviation,
    ``_abbr_``, in capitals. mmcv names the plugin's module after the
    abbreviation. It looks a plugin up in the registry of the default scope,
    or in MMEngine's root registry if there is no default scope.

    Args:
        *root_names (str): Names in the root registry. All OpenMMLab packages
            share it, so they must not be generic.
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
