"""Bottleneck attention (BAM), a baseline for SGE."""

from torch import Tensor, nn

from ..layers.plugins import register_plugin


@register_plugin()
class BAM(nn.Module):
    """Bottleneck Attention Module.

    It returns ``x + x * sigmoid(channel_attn(x) * spatial_attn(x))``, see
    `arXiv 1807.06514 <https://arxiv.org/abs/1807.06514>`_. The channel
    attention is a two-layer MLP on pooled features, the spatial attention a
    stack of dilated convolutions.

    Args:
        in_channels (int): Number of input channels C.
        ratio (int): Reduction ratio; both branches have ``C / ratio`` hidden
            channels. Default: 16.
        dilation (int): Dilation of the 3 x 3 convolutions. Default: 4.

    Shape:
        - Input: (N, C, H, W).
        - Output: (N, C, H, W).

    Examples:
        >>> import torch
        >>> from sge_mmdet import BAM
        >>> BAM(64)(torch.rand(2, 64, 14, 14)).shape
        torch.Size([2, 64, 14, 14])
    """

    _abbr_ = 'bam'

    def __init__(
        self, in_channels: int, ratio: int = 16, dilation: int = 4
    ) -> None:
        super().__init__()
        middle = max(1, in_channels // ratio)

        def layer(inputs: int, kernel_size: int) -> nn.Sequential:
            # The convolutions before norms have biases, as published.
            return nn.Sequential(
                nn.Conv2d(
                    inputs,
                    middle,
                    kernel_size,
                    padding=dilation if kernel_size > 1 else 0,
                    dilation=dilation if kernel_size > 1 else 1,
                ),
                nn.BatchNorm2d(middle),
                nn.ReLU(inplace=True),
            )

        self.channels = nn.Sequential(
            layer(in_channels, 1), nn.Conv2d(middle, in_channels, 1)
        )
        self.positions = nn.Sequential(
            layer(in_channels, 1),
            layer(middle, 3),
            layer(middle, 3),
            nn.Conv2d(middle, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the attention to a feature map."""
        channels = self.channels(x.mean((2, 3), keepdim=True))
        return x + x * (channels * self.positions(x)).sigmoid()
