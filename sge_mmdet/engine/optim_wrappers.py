"""Mixed precision in bfloat16, on CPUs as well as GPUs.

bfloat16 has the range of float32, so that the loss need not be scaled, but
only eight bits of precision: a coordinate near 300 pixels is rounded to a
multiple of 2. mmcv's NMS and RoIAlign do not support it. Backbone and neck,
which take most of the time, run in bfloat16, and the heads in float32.
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
    """Optimizer wrapper for detectors with features in bfloat16.

    Operators that ``torch.autocast`` considers safe run in bfloat16.
    Parameters, gradients and validation stay in float32. MMEngine's own
    ``AmpOptimWrapper`` supports only GPUs. Arguments are those of MMEngine's
    ``OptimWrapper``.

    Examples:
        >>> optim_wrapper = dict(type='BFloat16OptimWrapper')
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Context in which the losses of a detector are computed.

        Args:
            model (nn.Module): Detector to train.
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
