"""Squeeze-and-Excitation as a plugin, to compare SGE with."""

from typing import Any

from mmdet.models.layers import SELayer

from ..layers.plugin import register_plugin


@register_plugin('SqueezeExcitation')
class SqueezeExcitation(SELayer):
    """MMDetection's Squeeze-and-Excitation layer, as a plugin.

    Scales each channel by what two layers make of all channels' means: `arXiv
    1709.01507 <https://arxiv.org/abs/1709.01507>`_.

    Args:
        in_channels (int): Number of input channels.
        **kwargs: Of MMDetection's ``SELayer``, such as ``ratio``, by default
            16.

    Shape:
        - Input: (N, C, H, W).
        - Output: (N, C, H, W).
    """

    _abbr_ = 'se'

    def __init__(self, in_channels: int, **kwargs: Any) -> None:
        super().__init__(in_channels, **kwargs)
