"""Feature pyramids with SGE on each of their outputs."""

from typing import Any, Optional, Sequence, Tuple

from mmdet.models.necks import FPN, HRFPN, PAFPN, ChannelMapper
from mmdet.registry import MODELS
from torch import Tensor, nn

from ...utils.registration import register
from ..layers import SpatialGroupEnhance


class SGEOutputs(nn.Module):
    """Mixin that adds SGE to every output of a feature pyramid.

    The keys of the pyramid's own state dict do not change. SGE adds one layer
    per level: ``sge.0.weight`` and so on.

    Args:
        sge (dict, optional): Options of :class:`SpatialGroupEnhance`.
            Default: None, all of them at their defaults.
        **kwargs: Arguments of the feature pyramid.

    Raises:
        ValueError: If the groups do not divide the pyramid's channels.
    """

    def __init__(self, sge: Optional[dict] = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        channels: Any = self.out_channels
        levels: Any = self.num_outs
        self.sge = nn.ModuleList(
            SpatialGroupEnhance(channels, **(sge or {})) for _ in range(levels)
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tuple[Tensor, ...]:
        """Return the enhanced levels, each of shape (N, C, H, W)."""
        levels = super().forward(inputs)
        return tuple(sge(level) for sge, level in zip(self.sge, levels))


@register(MODELS)
class SGEFPN(SGEOutputs, FPN):
    """FPN with SGE on each of its outputs, including extra levels.

    The paper's authors also put SGE after the output convolutions of the FPN
    (arXiv 1905.09646). It takes every option of MMDetection's ``FPN``
    and loads its weights.

    Args:
        sge (dict, optional): Options of :class:`SpatialGroupEnhance`:
            ``groups``, ``eps``, ``normalize``, ``weight_init``,
            ``bias_init``. Default: None, all of them at their defaults.
        **kwargs: Arguments of MMDetection's ``FPN``.

    Raises:
        ValueError: If the groups do not divide ``out_channels``.

    Examples:
        >>> import torch
        >>> from sge_mmdet import SGEFPN
        >>> neck = SGEFPN(in_channels=[8, 16], out_channels=64, num_outs=3)
        >>> for level in neck(
        ...     [torch.rand(1, 8, 8, 8), torch.rand(1, 16, 4, 4)]
        ... ):
        ...     print(tuple(level.shape))
        (1, 64, 8, 8)
        (1, 64, 4, 4)
        (1, 64, 2, 2)
    """


@register(MODELS)
class SGEPAFPN(SGEOutputs, PAFPN):
    """PAFPN with SGE on each output; takes the options of ``SGEFPN``."""


@register(MODELS)
class SGEHRFPN(SGEOutputs, HRFPN):
    """HRFPN with SGE on each output; takes the options of ``SGEFPN``."""


@register(MODELS)
class SGEChannelMapper(SGEOutputs, ChannelMapper):
    """ChannelMapper with SGE on each output; takes options of ``SGEFPN``."""

    @property
    def out_channels(self) -> int:
        """int: Number of channels of each output."""
        convs: Any = self.convs
        return convs[0].out_channels

    @property
    def num_outs(self) -> int:
        """int: Number of outputs."""
        convs: Any = self.convs
        extra: Any = self.extra_convs
        return len(convs) + len(extra or ())


# Maps a neck to the one that replaces it; subclasses are not replaced.
SGE_NECKS = {
    FPN: SGEFPN,
    PAFPN: SGEPAFPN,
    HRFPN: SGEHRFPN,
    ChannelMapper: SGEChannelMapper,
}
