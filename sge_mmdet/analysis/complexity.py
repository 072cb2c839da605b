"""Parameters and GFLOPs of models, as the paper's authors count them."""

from contextlib import contextmanager
from typing import Any, Iterator, List, Optional, Tuple

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.structures import DetDataSample
from mmengine.analysis import get_model_complexity_info
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.modules.pooling import (
    _AdaptiveAvgPoolNd,
    _AdaptiveMaxPoolNd,
    _AvgPoolNd,
    _MaxPoolNd,
)

from ..models import SpatialGroupEnhance
from ..ops.inserted import EnhancedLayer
from ..utils import quiet_log

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)
ONE_PER_INPUT = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    _MaxPoolNd,
    _AvgPoolNd,
    _AdaptiveAvgPoolNd,
    _AdaptiveMaxPoolNd,
    SpatialGroupEnhance,
)


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters of a model."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_flops(model: nn.Module, image: Tensor) -> int:
    """Count the operations of a forward pass as the paper's authors do.

    A multiply-add of a convolution or linear layer counts as one operation,
    and so does the addition of a convolution's bias. A normalisation counts
    as two operations per element. ReLU, max pooling and average pooling count
    as one per input element, and so does SGE, for its mean. Sigmoids and
    additions and products of feature maps are not counted.

    Args:
        model (nn.Module): Model whose only input is an image. On the meta
            device nothing is computed.
        image (Tensor): Image of shape (1, 3, H, W), on the model's device.

    Returns:
        int: The number of operations.
    """
    counted: List[int] = []

    def add(module: nn.Module, inputs: Tuple[Any, ...], output: Any) -> None:
        counted.append(_module_flops(module, inputs, output))

    hooks = [module.register_forward_hook(add) for module in model.modules()]
    try:
        with torch.no_grad():
            model.eval()
            model(image)
    finally:
        for hook in hooks:
            hook.remove()
    return sum(counted)


def count_flops_as_mmengine(model: nn.Module, image: Tensor) -> int:
    """Count the operations as MMEngine and MMDetection's get_flops.py do.

    Args:
        model (nn.Module): Model whose only input is an image. It is run, so
            it must not be on the meta device.
        image (Tensor): Image of shape (1, 3, H, W).

    Returns:
        int: The number of operations.
    """
    # MMEngine warns about every kind of operation that it does not count.
    with torch.no_grad(), quiet_log():
        model.eval()
        return int(
            get_model_complexity_info(
                model, inputs=(image,), show_table=False, show_arch=False
            )['flops']
        )


@contextmanager
def detector_taking_image(
    detector: BaseDetector, height: int, width: int
) -> Iterator[Tensor]:
    """Make an image the only input of a detector, and yield such an image.

    Within the context, forward runs in the mode "tensor", which
    ``get_flops.py`` counts as well. The image is padded as the detector's
    data preprocessor would pad it.

    Args:
        detector (BaseDetector): Detector of MMDetection.
        height (int): Height of the image before padding, in pixels.
        width (int): Width of the image before padding, in pixels.
    """
    meta = dict(
        ori_shape=(height, width),
        img_shape=(height, width),
        scale_factor=(1.0, 1.0),
    )
    sample = DetDataSample(metainfo=meta)
    # Some detectors need ground truth even if they do not use it.
    sample.gt_instances = InstanceData(
        bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
    )
    data = detector.data_preprocessor(
        dict(
            inputs=[torch.zeros(3, height, width, dtype=torch.uint8)],
            data_samples=[sample],
        )
    )
    image = data['inputs']
    if isinstance(image, list):
        # The preprocessor of a tracking model's detector makes no batch.
        image = torch.stack(image).float()
    forward = detector.forward
    detector.forward = lambda inputs: forward(
        inputs, data['data_samples'], 'tensor'
    )
    try:
        yield image
    finally:
        del detector.forward


def add_classifier(backbone: nn.Module, classes: int = 1000) -> nn.Module:
    """Return a classifier: the backbone, global pooling and a linear layer.

    Args:
        backbone (nn.Module): Backbone with a ``feat_dim``, such as a ResNet.
        classes (int): Number of classes. Default: 1000, as in ImageNet.
    """
    features: Any = backbone.feat_dim
    return nn.Sequential(
        backbone,
        _LastStage(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(features, classes),
    )


class _LastStage(nn.Module):
    def forward(self, stages: Tuple[Tensor, ...]) -> Tensor:
        return stages[-1]


def _module_flops(
    module: nn.Module, inputs: Tuple[Any, ...], output: Any
) -> int:
    """Return the operations of a module without its children."""
    weight: Optional[Tensor] = getattr(module, 'weight', None)
    if isinstance(module, EnhancedLayer):
        # It shows the weight of the layer inside, which counts itself.
        return 0
    if isinstance(module, NORMS):
        return 2 * _numel(inputs[0])
    if isinstance(module, ONE_PER_INPUT):
        return _numel(inputs[0])
    if isinstance(module, _ConvTransposeNd):
        return _numel(inputs[0]) * module.weight[0].numel()
    # Convolutions of every kind, deformable ones included, and linear layers
    # hold their weight as (outputs, inputs, ...).
    if isinstance(weight, Tensor) and isinstance(module, nn.Linear):
        return _numel(output) * weight[0].numel()
    if isinstance(weight, Tensor) and hasattr(module, 'kernel_size'):
        has_bias = getattr(module, 'bias', None) is not None
        return _numel(output) * (weight[0].numel() + has_bias)
    return 0


def _numel(value: Any) -> int:
    if isinstance(value, (list, tuple)):
        return sum(map(_numel, value))
    return value.numel()
