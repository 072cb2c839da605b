"""SGE as a module of PyTorch."""

import math
from typing import Any, Optional

import torch
from torch import Tensor, full, fx, nn

from .checks import check_eps, check_groups
from .functional import enhance, spatial_group_enhance
from .passes import FixedNorm, Inputs

# A graph of torch.fx holds a call of the operator as one node, since the
# operator checks shapes and chooses kernels, for which it needs tensors.
fx.wrap('spatial_group_enhance')
fx.wrap('_enhance_scaled')


class SpatialGroupEnhance(nn.Module):
    r"""Spatial Group-wise Enhance.

    Scales every position of every group of channels by
    :math:`\sigma(w\,t + b)`, where t is the normalised similarity of the
    position to the mean of the group, and (w, b) is learnt per group: `arXiv
    1905.09646 <https://arxiv.org/abs/1905.09646>`_. The formula stands in
    :mod:`sge_mmdet.ops.reference`.

    With the defaults a new layer scales its input by
    :math:`\sigma(1) \approx 0.7311` everywhere. With ``preserve=True`` it
    multiplies its input by the constant :math:`1 / \sigma(b_0)` first, where
    :math:`b_0` is the initial b, so that a new layer is the identity. The
    constant is the buffer ``factor`` of the state dict.

    Args:
        in_channels (int): Number of input channels C.
        groups (int): Number of groups G; it divides ``in_channels``.
            Default: 64.
        eps (float): Added to the standard deviation of the similarity.
            Default: 1e-5.
        normalize (bool): Whether to normalise the similarity over the map;
            False is the ablation of the paper. Default: True.
        weight_init (float): Initial w of every group. Default: 0.
        bias_init (float): Initial b of every group. Default: 1.
        preserve (bool): Whether a new layer is the identity; it needs
            ``weight_init=0``. Weights of a layer without ``factor`` set it to
            1, with which both compute the same. Default: False.

    Attributes:
        weight (Tensor): w of shape (1, G, 1, 1).
        bias (Tensor): b of shape (1, G, 1, 1).
        factor (Tensor, optional): Constant factor of each channel, of shape
            (C,); None without ``preserve``.

    Raises:
        TypeError: If ``eps`` is not a number.
        ValueError: If ``groups`` does not divide ``in_channels``, ``eps``
            is not positive, or ``preserve`` is set and ``weight_init`` is not
            0.

    Shape:
        - Input: (N, C, H, W), of any floating point type.
        - Output: (N, C, H, W), of the type and layout of the input.

    Examples:
        >>> import torch
        >>> from sge_mmdet.ops import SpatialGroupEnhance
        >>> SpatialGroupEnhance(256)(torch.rand(2, 256, 14, 14)).shape
        torch.Size([2, 256, 14, 14])
    """

    # mmcv names a plugin's module after it: "sge", as in the checkpoints of
    # the paper's authors.
    _abbr_ = 'sge'

    def __init__(
        self,
        in_channels: int,
        groups: int = 64,
        eps: float = 1e-5,
        normalize: bool = True,
        weight_init: float = 0.0,
        bias_init: float = 1.0,
        preserve: bool = False,
    ) -> None:
        super().__init__()
        check_groups(in_channels, groups)
        check_eps(eps)
        if preserve and weight_init != 0:
            raise ValueError(
                'preserve=True needs weight_init=0, with which a new SGE '
                'scales all positions alike, got '
                f'weight_init={weight_init!r}; leave out one of the two'
            )
        self.in_channels = in_channels
        self.groups = groups
        self.eps = eps
        self.normalize = normalize
        self.weight_init = weight_init
        self.bias_init = bias_init
        shape = (1, groups, 1, 1)
        self.weight = nn.Parameter(full(shape, float(weight_init)))
        self.bias = nn.Parameter(full(shape, float(bias_init)))
        self.factor: Optional[Tensor]
        self.register_buffer(
            'factor',
            full((in_channels,), self._initial_factor()) if preserve else None,
        )

    def _initial_factor(self) -> float:
        """Return what the initial gate is undone by: 1 / sigmoid(b)."""
        return 1 + math.exp(-self.bias_init)

    def init_weights(self) -> None:
        """Set w, b and the factor to their initial values."""
        nn.init.constant_(self.weight, self.weight_init)
        nn.init.constant_(self.bias, self.bias_init)
        if self.factor is not None:
            nn.init.constant_(self.factor, self._initial_factor())

    def forward(self, x: Tensor) -> Tensor:
        """Enhance a feature map of shape (N, C, H, W)."""
        options = self.groups, self.eps, self.normalize
        if self.factor is None:
            return spatial_group_enhance(x, self.weight, self.bias, *options)
        return _enhance_scaled(
            x, self.factor, self.weight, self.bias, *options
        )

    def forward_residual(
        self,
        x: Tensor,
        identity: Tensor,
        norm: Optional[FixedNorm] = None,
        may_overwrite: bool = False,
    ) -> Tensor:
        """Return ``relu(SGE(norm(x)) + identity)``, in one pass.

        Args:
            x (Tensor): Feature map of shape (N, C, H, W).
            identity (Tensor): Added before ReLU; shape and type of ``x``.
            norm (FixedNorm, optional): The norm before SGE. Default: None.
            may_overwrite (bool): Whether the result may be written over
                ``x`` where no gradient is wanted. Default: False.
        """
        return enhance(
            Inputs(
                x,
                self.weight,
                self.bias,
                self._with_factor(x, norm),
                identity,
                self.groups,
                self.eps,
                self.normalize,
            ),
            may_overwrite,
        )

    def _with_factor(
        self, x: Tensor, norm: Optional[FixedNorm]
    ) -> Optional[FixedNorm]:
        """Return a norm that multiplies by the factor as well."""
        if self.factor is None:
            return norm
        factor = _of_channels(self.factor, x)
        if norm is None:
            return FixedNorm(factor)
        return norm._replace(
            scale=norm.scale * factor,
            shift=None if norm.shift is None else norm.shift * factor,
        )

    def __prepare_scriptable__(self) -> None:
        """Refuse ``torch.jit.script``, which calls this first."""
        raise NotImplementedError(
            'torch.jit.script cannot compile SGE, whose operator is not '
            'TorchScript; use torch.jit.trace or torch.export instead'
        )

    def _load_from_state_dict(
        self, state_dict: 'dict[str, Tensor]', prefix: str, *args: Any
    ) -> None:
        """Load this layer's own state, unless it has other groups.

        MMEngine would log the mismatch and train on from new parameters. A
        factor that this layer lacks would be left out in the same way, with
        other outputs.
        """
        weight = state_dict.get(f'{prefix}weight')
        if weight is not None and weight.shape != self.weight.shape:
            raise ValueError(
                f'{prefix}weight in the checkpoint has {weight.numel()} groups'
                f' (shape {tuple(weight.shape)}), the model has {self.groups}.'
                ' Set the groups of the checkpoint'
            )
        factor = state_dict.get(f'{prefix}factor')
        if self.factor is None and factor is not None:
            if not bool((factor == 1).all()):
                raise ValueError(
                    f'{prefix}factor in the checkpoint is a constant that '
                    'this SGE does not multiply by, since it was made without '
                    'preserve=True. Set preserve=True among its options, or '
                    'fold the factor into the norm before it: '
                    'tools/convert_checkpoint.py --fold'
                )
            del state_dict[f'{prefix}factor']
        if self.factor is not None and factor is None and weight is not None:
            # The layer of these weights had none.
            state_dict[f'{prefix}factor'] = torch.ones_like(self.factor)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        """Show the configuration in the layer's representation."""
        return (
            f'{self.in_channels}, groups={self.groups}, eps={self.eps}, '
            f'normalize={self.normalize}'
            + (', preserve=True' if self.factor is not None else '')
        )


def _enhance_scaled(
    x: Tensor,
    factor: Tensor,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    eps: float,
    normalize: bool,
) -> Tensor:
    """Enhance a feature map whose channels are scaled by a factor."""
    norm = FixedNorm(_of_channels(factor, x))
    return enhance(Inputs(x, weight, bias, norm, None, groups, eps, normalize))


def _of_channels(factor: Tensor, x: Tensor) -> Tensor:
    """Return a factor for each channel of a map."""
    if x.dim() > 1 and x.shape[1] != len(factor):
        # Res2Net gives a plugin behind conv2 more channels than it says.
        return factor[:1].expand(x.shape[1])
    return factor
