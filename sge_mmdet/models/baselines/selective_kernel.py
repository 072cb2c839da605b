"""Selective kernels (SK), a baseline for SGE."""

import torch
from torch import Tensor, nn


class SelectiveKernel(nn.Module):
    """Choose between two branches, channel by channel.

    The weights are a softmax over the branches, computed from their pooled
    sum, see `arXiv 1903.06586 <https://arxiv.org/abs/1903.06586>`_.

    Args:
        channels (int): Number of channels C of each branch.
        ratio (int): Reduction ratio; the MLP has ``C / ratio`` hidden
            channels. Default: 16.

    Shape:
        - Input: (N, C, H, W) twice.
        - Output: (N, C, H, W).
    """

    def __init__(self, channels: int, ratio: int = 16) -> None:
        super().__init__()
        middle = max(1, channels // ratio)
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.squeeze = nn.Sequential(
            nn.Conv2d(channels, middle, 1, bias=False), nn.ReLU(inplace=True)
        )
        self.select = nn.Conv2d(middle, 2 * channels, 1, bias=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the weighted sum of two branches."""
        scores = self.select(self.squeeze(self.mean(first + second)))
        weights = torch.stack(scores.chunk(2, 1)).softmax(0)
        return first * weights[0] + second * weights[1]
