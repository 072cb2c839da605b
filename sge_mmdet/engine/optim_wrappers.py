"""Mixed precision in bfloat16, on CPUs as well as GPUs.

bfloat16 has the range of float32, so that no loss has to be scaled, but eight
bits of precision: a box at 300 pixels would be rounded to 2. And mmcv's NMS
and RoIAlign have no bfloat16. So backbone and neck, where the time goes,
compute in it, and the heads in float32.
"""

from contextlib import contextmanager
from typing import Any, Iterator, Tuple

import torch
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner.amp import autocast
from torch import Tensor, nn

from ..utils.registration import register


@register(OPTIM_WRAPPERS)
class BFloat16OptimWrapper(OptimWrapper):
    """Train a detector whose features are computed in bfloat16.

    What ``torch.autocast`` holds to be safe runs in bfloat16; the parameters
    and their gradients stay in float32, and so does validation. MMEngine's
    ``AmpOptimWrapper`` takes GPUs alone. Arguments are those of MMEngine's
    ``OptimWrapper``.

    Examples:
        >>> optim_wrapper = dict(type='BFloat16OptimWrapper')
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Compute the losses of a detector.

        Args:
            model (nn.Module): The detector that is trained.
        """
        detector: Any = model.module if is_model_wrapper(model) else model
        extract = detector.extract_feat

        def extract_feat(*args: Any, **kwargs: Any) -> Tuple[Tensor, ...]:
            with autocast(dtype=torch.bfloat16):
                features = extract(*args, **kwargs)
            return tuple(feature.float() for feature in features)

        detector.extract_feat = extract_feat
        try:
            with super().optim_context(model):
                yield
        finally:
            del detector.extract_feat
