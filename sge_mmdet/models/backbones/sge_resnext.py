"""ResNeXt with SGE in its residual blocks."""

from mmdet.models.backbones.resnext import Bottleneck, ResNeXt
from mmdet.registry import MODELS

from ...utils.registration import register
from .sge_blocks import SGEResNeXtBottleneck
from .sge_resnet import SGEResNet


@register(MODELS)
class SGEResNeXt(SGEResNet, ResNeXt):
    """SGE-ResNeXt: SGE as the last step of ResNeXt's residual branches.

    This applies `arXiv 1905.09646 <https://arxiv.org/abs/1905.09646>`_ to
    ResNeXt, such as ResNeXt-50 or ResNeXt-101 32x4d. It takes every option of
    MMDetection's ``ResNeXt``.

    Args:
        depth (int): Depth, from {50, 101, 152}.
        sge (dict, optional): Options of SGE, as in :class:`SGEResNet`; its
            ``groups`` are those of SGE. Default: None.
        sge_stages (Sequence[bool]): Whether SGE is used, one value per stage.
            Default: (True, True, True, True).
        plugins (list[dict], optional): Further plugins, as in
            :class:`SGEResNet`. Default: None.
        groups (int): Number of groups of the 3x3 convolutions. Default: 1.
        base_width (int): Channels of each of these groups in the first stage.
            Default: 4.
        **kwargs: Arguments of MMDetection's ``ResNeXt``.

    Raises:
        ValueError: In the same cases as :class:`SGEResNet`.

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
