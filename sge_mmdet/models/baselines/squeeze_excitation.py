"""Squeeze-and-Excitation as a plugin, a baseline for SGE."""

from typing import Any

from mmdet.models.layers import SELayer

from ..layers.plugins import register_plugin


@register_plugin('SqueezeExcitation')
class SqueezeExcitation(SELayer):
    """MMDetection's Squeeze-and-Excitation layer, as a plugin.

    It gates channels with a two-layer MLP on pooled features, see `arXiv
    1709.01507 <https://arxiv.org/abs/1709.01507>`_.

    Args:
        in_channels (int): Number of input channels.
        **kwargs: Arguments of MMDetection's ``SELayer``, such as ``ratio``
            (default: 16).

    Shape:
        - Input: (N, C, H, W).
        - Output: (N, C, H, W).
    """

    _abbr_ = 'se'

    def __init__(self, in_channels: int, **kwargs: Any) -> None:
        super().__init__(in_channels, **kwargs)
