"""Baseline backbones whose attention is not a plugin.

SE, CBAM and mmcv's ContextBlock (GC) are plugins of MMDetection's ResNet.
"""

from typing import Any, Optional

from mmcv.cnn import ConvModule
from mmdet.models.backbones.resnet import Bottleneck, ResNet
from mmdet.models.layers import ResLayer
from mmdet.registry import MODELS
from torch import Tensor

from ...utils.registration import register
from ..checkpointed_block import CheckpointedBlock
from .bam import BAM
from .selective_kernel import SelectiveKernel


@register(MODELS)
class BAMResNet(ResNet):
    """ResNet with BAM after each stage but the last, as published.

    See `arXiv 1807.06514 <https://arxiv.org/abs/1807.06514>`_. It takes every
    option of ``ResNet``.

    Args:
        bam (dict, optional): Options of :class:`BAM`. Default: None.
        **kwargs: Arguments of MMDetection's ``ResNet``.
    """

    def __init__(self, bam: Optional[dict] = None, **kwargs: Any) -> None:
        # ResNet.__init__ calls make_res_layer, which reads self.bam.
        self.bam = dict(bam or {})
        super().__init__(**kwargs)

    def make_res_layer(self, **kwargs: Any) -> ResLayer:
        """Build the next stage, with BAM after it unless it is the last."""
        layer = super().make_res_layer(**kwargs)
        if len(self.res_layers) < self.num_stages - 1:
            channels = kwargs['planes'] * kwargs['block'].expansion
            layer.add_module('bam', BAM(channels, **self.bam))
        return layer


class SKBottleneck(CheckpointedBlock, Bottleneck):
    """Bottleneck that chooses between its 3x3 convolution and a wider one.

    Args:
        *args: Arguments of MMDetection's ``Bottleneck``.
        sk (dict): ``groups`` and ``dilation`` of the wider convolution, and
            the ``ratio`` of :class:`SelectiveKernel`.
        **kwargs: Keyword arguments of MMDetection's ``Bottleneck``.
    """

    def __init__(self, *args: Any, sk: dict, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        options = dict(dict(groups=32, dilation=2, ratio=16), **sk)
        dilation = options['dilation'] * self.dilation
        self.wide = ConvModule(
            self.planes,
            self.planes,
            3,
            stride=self.conv2_stride,
            padding=dilation,
            dilation=dilation,
            groups=options['groups'],
            norm_cfg=self.norm_cfg,
        )
        self.select = SelectiveKernel(self.planes, options['ratio'])

    def run(self, x: Tensor) -> Tensor:
        """Run the branch and end the block."""
        out = self._run_plugins(self.relu(self.norm1(self.conv1(x))), 1)
        narrow = self.relu(self.norm2(self.conv2(out)))
        out = self._run_plugins(self.select(narrow, self.wide(out)), 2)
        out = self._run_plugins(self.norm3(self.conv3(out)), 3)
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)

    def _run_plugins(self, x: Tensor, convolution: int) -> Tensor:
        if not self.with_plugins:
            return x
        return self.forward_plugin(
            x, getattr(self, f'after_conv{convolution}_plugin_names')
        )


@register(MODELS)
class SKResNet(ResNet):
    """ResNet with selective kernels in place of its 3x3 convolutions.

    `arXiv 1903.06586 <https://arxiv.org/abs/1903.06586>`_ uses them in a
    ResNeXt, with both convolutions in groups. SGE's paper compares with a
    ResNet; its numbers of parameters (26.15M, 45.68M) match this design:
    ResNet's own 3x3 convolution, a second one with 32 groups and dilation 2,
    and selection layers without biases. It takes every option of ``ResNet``
    and can load its weights.

    Args:
        depth (int): Depth, from {50, 101, 152}.
        sk (dict, optional): Options of :class:`SKBottleneck`. Default: None.
        **kwargs: Arguments of MMDetection's ``ResNet``.

    Raises:
        ValueError: If the blocks of this depth are not bottlenecks.
    """

    def __init__(
        self, depth: int, sk: Optional[dict] = None, **kwargs: Any
    ) -> None:
        if self.arch_settings.get(depth, (Bottleneck,))[0] is not Bottleneck:
            raise ValueError(
                'SKResNet: expected a depth of 50, 101 or 152, got '
                f'depth={depth!r}'
            )
        # ResNet.__init__ calls make_res_layer, which reads self.sk.
        self.sk = dict(sk or {})
        super().__init__(depth=depth, **kwargs)

    def make_res_layer(self, **kwargs: Any) -> ResLayer:
        """Build the next stage."""
        return super().make_res_layer(
            **dict(kwargs, block=SKBottleneck, sk=self.sk)
        )
