"""Convolutional block attention (CBAM) as a plugin, a baseline for SGE."""

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from ..layers.plugins import register_plugin


@register_plugin()
class CBAM(nn.Module):
    """Convolutional Block Attention Module.

    Channel attention (a shared MLP on average- and max-pooled features), then
    spatial attention (a convolution over the mean and the maximum of the
    channels), see `arXiv 1807.06521 <https://arxiv.org/abs/1807.06521>`_.

    Args:
        in_channels (int): Number of input channels C.
        ratio (int): Reduction ratio; the MLP has ``C / ratio`` hidden
            channels. Default: 16.
        kernel_size (int): Kernel size of the spatial attention, in positions.
            Default: 7.

    Shape:
        - Input: (N, C, H, W).
        - Output: (N, C, H, W).

    Examples:
        >>> import torch
        >>> from sge_mmdet import CBAM
        >>> CBAM(64)(torch.rand(2, 64, 14, 14)).shape
        torch.Size([2, 64, 14, 14])
    """

    _abbr_ = 'cbam'

    def __init__(
        self, in_channels: int, ratio: int = 16, kernel_size: int = 7
    ) -> None:
        super().__init__()
        middle = max(1, in_channels // ratio)
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.maximum = nn.AdaptiveMaxPool2d(1)
        self.channels = nn.Sequential(
            nn.Conv2d(in_channels, middle, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, in_channels, 1),
        )
        self.positions = ConvModule(
            2,
            1,
            kernel_size,
            padding=kernel_size // 2,
            bias=False,
            norm_cfg=dict(type='BN'),
            act_cfg=None,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply channel attention, then spatial attention."""
        channels = self.channels(self.mean(x)) + self.channels(self.maximum(x))
        x = x * channels.sigmoid()
        pooled = torch.cat(
            [x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1
        )
        return x * self.positions(pooled).sigmoid()
