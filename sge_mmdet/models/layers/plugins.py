"""Plugins: layers that ResNet-like backbones take by their config."""

from typing import Any, Callable, Sequence, TypeVar, cast

from mmdet.registry import MODELS
from mmengine.registry import MODELS as ROOT_MODELS

from ...utils.registration import register

Layer = TypeVar('Layer', bound=type)
# Positions in a residual block at which MMDetection runs plugins.
PLUGIN_POSITIONS = ('after_conv1', 'after_conv2', 'after_conv3')


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


def check_plugins(plugins: Sequence[dict]) -> None:
    """Raise if a plugin has a position that does not exist.

    Args:
        plugins (Sequence[dict]): The ``plugins`` of a ResNet-like backbone.

    Raises:
        ValueError: If a plugin is not a dict or has an unknown position.
    """
    for plugin in plugins:
        if not isinstance(plugin, dict):
            raise ValueError(
                'plugins: expected dict(cfg=dict(...), position=...), got '
                f'{plugin!r}'
            )
        if plugin.get('position') not in PLUGIN_POSITIONS:
            raise ValueError(
                f'plugins: expected a position of '
                f'{", ".join(PLUGIN_POSITIONS)}, got '
                f'position={plugin.get("position")!r}'
            )
