"""ResNeXt with SGE in its residual blocks."""

from mmdet.models.backbones.resnext import Bottleneck, ResNeXt
from mmdet.registry import MODELS

from ...utils.registration import register
from .sge_blocks import SGEResNeXtBottleneck
from .sge_resnet import SGEResNet


@register(MODELS)
class SGEResNeXt(SGEResNet, ResNeXt):
    """SGE-ResNeXt: SGE as the last step of ResNeXt's residual branches.

    The idea of `arXiv 1905.09646 <https://arxiv.org/abs/1905.09646>`_ on
    ResNeXt, such as 50 or 101 32x4d. It takes every option of MMDetection's
    ``ResNeXt``.

    Args:
        depth (int): Depth, from {50, 101, 152}.
        sge (dict, optional): As in :class:`SGEResNet`. Its ``groups`` are
            those of SGE. Default: None.
        sge_stages (Sequence[bool]): As in :class:`SGEResNet`. Default:
            (True, True, True, True).
        plugins (list[dict], optional): As in :class:`SGEResNet`. Default:
            None.
        groups (int): Groups of the 3x3 convolutions. Default: 1.
        base_width (int): Channels of each of these groups in the first stage.
            Default: 4.
        **kwargs: Of MMDetection's ``ResNeXt``.

    Raises:
        ValueError: As :class:`SGEResNet`.

    Examples:
        >>> import torch
        >>> from sge_mmdet import SGEResNeXt
        >>> backbone = SGEResNeXt(depth=50, groups=32, base_width=4).eval()
        >>> for feature in backbone(torch.rand(1, 3, 32, 32)):
        ...     print(tuple(feature.shape))
        (1, 256, 8, 8)
        (1, 512, 4, 4)
        (1, 1024, 2, 2)
        (1, 2048, 1, 1)
    """

    sge_blocks = {Bottleneck: SGEResNeXtBottleneck}
