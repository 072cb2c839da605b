"""Gradient checkpointing for residual blocks."""

from typing import TYPE_CHECKING

import torch.utils.checkpoint as cp
from torch import Tensor


class CheckpointedBlock:
    """Mixin for gradient checkpointing; subclasses implement ``run``."""

    if TYPE_CHECKING:  # TorchScript would read annotations of the class.
        with_cp: bool

    def forward(self, x: Tensor) -> Tensor:
        """Run the block, within a gradient checkpoint if ``with_cp`` is set.

        Args:
            x (Tensor): Feature map of shape (N, C, H, W).
        """
        if self.with_cp and x.requires_grad:
            return cp.checkpoint(self.run, x, use_reentrant=True)
        return self.run(x)

    def run(self, x: Tensor) -> Tensor:
        """Run the whole block on a feature map of shape (N, C, H, W)."""
        raise NotImplementedError
