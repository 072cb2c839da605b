"""Residual blocks that end with SGE, the addition and ReLU in one pass."""

from typing import TYPE_CHECKING, Any, List, NamedTuple, Optional, Type, cast

from mmdet.models.backbones import resnet, resnext
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules import module as module_hooks
from torch.nn.modules.batchnorm import _BatchNorm

from ...ops import FixedNorm
from ..checkpointed_block import CheckpointedBlock
from ..layers import SpatialGroupEnhance


class Branch(NamedTuple):
    """A residual branch that has run up to its last convolution.

    Attributes:
        out: Output of the convolution, of shape (N, C, H, W).
        conv: The convolution.
        norm: Norm after it.
        plugins: Plugins after the norm.
    """

    out: Tensor
    conv: nn.Module
    norm: nn.Module
    plugins: List[nn.Module]


class _SGEBlock(CheckpointedBlock):
    """Mixin for blocks with SGE; subclasses implement ``branch``."""

    if TYPE_CHECKING:
        downsample: Optional[nn.Module]
        relu: nn.Module

    def run(self, x: Tensor) -> Tensor:
        """Run the branch and end the block."""
        out, conv, norm, plugins = self.branch(x)
        identity = x if self.downsample is None else self.downsample(x)
        is_own_branch = type(self).branch in _OWN_BRANCHES
        may_overwrite = is_own_branch and _returns_new_map(conv)
        return end_block(
            out, identity, norm, plugins, self.relu, may_overwrite
        )

    def branch(self, x: Tensor) -> Branch:
        """Run the branch up to its last convolution."""
        raise NotImplementedError


class SGEBasicBlock(_SGEBlock, resnet.BasicBlock):
    """BasicBlock with SGE between its second norm and the addition.

    Args:
        inplanes (int): Number of input channels.
        planes (int): Number of output channels.
        sge (dict): Options of :class:`SpatialGroupEnhance`.
        **kwargs: Arguments of MMDetection's ``BasicBlock``.
    """

    def __init__(
        self, inplanes: int, planes: int, *, sge: dict, **kwargs: Any
    ) -> None:
        super().__init__(inplanes, planes, **kwargs)
        self.sge = SpatialGroupEnhance(planes, **sge)

    def branch(self, x: Tensor) -> Branch:
        """Run the branch up to its last convolution."""
        out = self.relu(self.norm1(self.conv1(x)))
        conv = self.conv2
        return Branch(conv(out), conv, self.norm2, [self.sge])


class SGEBottleneck(_SGEBlock, resnet.Bottleneck):
    """Bottleneck whose last plugin after conv3 is SGE.

    Args:
        *args: Arguments of MMDetection's ``Bottleneck``.
        sge (dict): Options of :class:`SpatialGroupEnhance`.
        plugins (list[dict], optional): Further plugins, which run before SGE.
            Default: None.
        **kwargs: Keyword arguments of MMDetection's ``Bottleneck``.
    """

    def __init__(
        self,
        *args: Any,
        sge: dict,
        plugins: Optional[List[dict]] = None,
        **kwargs: Any,
    ) -> None:
        last = dict(
            cfg=dict(type='SpatialGroupEnhance', **sge), position='after_conv3'
        )
        super().__init__(*args, plugins=[*(plugins or ()), last], **kwargs)

    def branch(self, x: Tensor) -> Branch:
        """Run the branch up to its last convolution."""
        out = self.relu(self.norm1(self.conv1(x)))
        out = self.forward_plugin(out, self.after_conv1_plugin_names)
        out = self.relu(self.norm2(self.conv2(out)))
        out = self.forward_plugin(out, self.after_conv2_plugin_names)
        conv = self.conv3
        return Branch(
            conv(out),
            conv,
            self.norm3,
            [getattr(self, name) for name in self.after_conv3_plugin_names],
        )


class SGEResNeXtBottleneck(SGEBottleneck, resnext.Bottleneck):
    """ResNeXt version of :class:`SGEBottleneck`, with the same arguments."""


# They use the output of their last convolution nowhere else.
_OWN_BRANCHES = SGEBasicBlock.branch, SGEBottleneck.branch
# The original functions. A profiler may replace them and keep their outputs.
_CONVOLUTION = nn.Conv2d.forward, nn.Conv2d._conv_forward, functional.conv2d


def _returns_new_map(conv: nn.Module) -> bool:
    """Return whether no other code can hold the output of a convolution."""
    return (
        type(conv) is nn.Conv2d
        and type(conv._parameters.get('weight')) is nn.Parameter
        and '_conv_forward' not in conv.__dict__
        and _is_plain(conv, nn.Conv2d)
        and _CONVOLUTION
        == (nn.Conv2d.forward, nn.Conv2d._conv_forward, functional.conv2d)
    )


# Filled in place by those who register hooks for all modules.
_GLOBAL_HOOKS = (
    module_hooks._global_forward_hooks,
    module_hooks._global_forward_pre_hooks,
    module_hooks._global_backward_hooks,
    module_hooks._global_backward_pre_hooks,
)


def end_block(
    out: Tensor,
    identity: Tensor,
    norm: nn.Module,
    plugins: List[nn.Module],
    relu: nn.Module,
    may_overwrite: bool = False,
) -> Tensor:
    """Return ``relu(plugins(norm(out)) + identity)``.

    SGE (the last plugin), the addition and ReLU run as one operator. A norm
    right before SGE joins them if it is in evaluation mode, as it is in the
    training of detectors (``norm_eval=True``). Modules that have hooks or
    that replace these run one by one.

    Args:
        out (Tensor): Output of the branch's last convolution, of shape
            (N, C, H, W).
        identity (Tensor): Shortcut, of the same shape.
        norm (nn.Module): Norm after that convolution.
        plugins (list[nn.Module]): Plugins after the norm.
        relu (nn.Module): Activation of the block.
        may_overwrite (bool): Whether nobody else holds ``out``, so that the
            result may be written over it where no gradient is wanted.
            Default: False.
    """
    *others, sge = plugins
    if not (_is_plain(sge, SpatialGroupEnhance) and _is_plain(relu, nn.ReLU)):
        for module in (norm, *plugins):
            out = module(out)
        return relu(out + identity)
    fixed = None
    if not others and out.dtype == identity.dtype:
        fixed = fixed_norm(norm)
    if fixed is None:
        for module in (norm, *others):
            out = module(out)
        if out.dtype != identity.dtype:
            return relu(sge(out) + identity)
    layer = cast(SpatialGroupEnhance, sge)
    return layer.forward_residual(
        out, identity, fixed, may_overwrite and fixed is not None
    )


def fixed_norm(norm: nn.Module) -> Optional[FixedNorm]:
    """Return a norm with fixed statistics in the operator's form.

    Args:
        norm (nn.Module): Normalisation layer.

    Returns:
        FixedNorm or None: The parameters of a batch norm in evaluation mode;
        None for any other norm.
    """
    if norm.training or not any(
        _is_plain(norm, kind) for kind in (_BatchNorm, nn.SyncBatchNorm)
    ):
        return None
    scale, shift = map(norm._parameters.get, ('weight', 'bias'))
    mean, variance = map(norm._buffers.get, ('running_mean', 'running_var'))
    if scale is None or shift is None or mean is None or variance is None:
        return None
    return FixedNorm(scale, shift, mean, variance, cast(float, norm.eps))


def _is_plain(module: nn.Module, kind: Type[nn.Module]) -> bool:
    """Return whether forward is not overridden and no hooks are registered."""
    return (
        isinstance(module, kind)
        and type(module).forward is kind.forward
        and 'forward' not in module.__dict__
        and not (
            module._forward_hooks
            or module._forward_pre_hooks
            or module._backward_hooks
            or module._backward_pre_hooks
            or any(_GLOBAL_HOOKS)
        )
    )
