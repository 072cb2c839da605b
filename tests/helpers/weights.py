"""Weights for tests: drawn, so that they do not depend on stale memory."""

import torch
from torch import nn


def draw_weights(module: nn.Module, seed: int = 0) -> None:
    """Draw every matrix and kernel of a module, biases and norms left alone.

    MMDetection's TridentConv leaves its kernel uninitialised even after
    ``init_weights()``, since its configs start from a checkpoint.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.dim() > 1 and '.sge.' not in f'.{name}':
                gain = (2 / parameter[0].numel()) ** 0.5
                parameter.normal_(0, gain, generator=generator)
