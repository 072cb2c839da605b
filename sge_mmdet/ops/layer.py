"""SGE as a module of PyTorch."""

from typing import Any, Optional

from torch import Tensor, full, fx, nn

from .checks import check_eps, check_groups
from .functional import enhance, spatial_group_enhance
from .passes import FixedNorm, Inputs

# A graph of torch.fx holds a call of the operator as one node, since the
# operator checks shapes and chooses kernels, for which it needs tensors.
fx.wrap('spatial_group_enhance')


class SpatialGroupEnhance(nn.Module):
    r"""Spatial Group-wise Enhance.

    Scales every position of every group of channels by
    :math:`\sigma(w\,t + b)`, where t is the normalised similarity of the
    position to the mean of the group, and (w, b) is learnt per group: `arXiv
    1905.09646 <https://arxiv.org/abs/1905.09646>`_. The formula stands in
    :mod:`sge_mmdet.ops.reference`.

    With the defaults a new layer scales its input by
    :math:`\sigma(1) \approx 0.7311` everywhere.

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

    Raises:
        TypeError: If ``eps`` is not a number.
        ValueError: If ``groups`` does not divide ``in_channels`` or ``eps``
            is not positive.

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
    ) -> None:
        super().__init__()
        check_groups(in_channels, groups)
        check_eps(eps)
        self.in_channels = in_channels
        self.groups = groups
        self.eps = eps
        self.normalize = normalize
        self.weight_init = weight_init
        self.bias_init = bias_init
        shape = (1, groups, 1, 1)
        self.weight = nn.Parameter(full(shape, float(weight_init)))
        self.bias = nn.Parameter(full(shape, float(bias_init)))

    def init_weights(self) -> None:
        """Set w and b to their initial values."""
        nn.init.constant_(self.weight, self.weight_init)
        nn.init.constant_(self.bias, self.bias_init)

    def forward(self, x: Tensor) -> Tensor:
        """Enhance a feature map of shape (N, C, H, W)."""
        return spatial_group_enhance(
            x, self.weight, self.bias, self.groups, self.eps, self.normalize
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
                norm,
                identity,
                self.groups,
                self.eps,
                self.normalize,
            ),
            may_overwrite,
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

        MMEngine would log the mismatch and train on from new parameters.
        """
        weight = state_dict.get(f'{prefix}weight')
        if weight is not None and weight.shape != self.weight.shape:
            raise ValueError(
                f'{prefix}weight in the checkpoint has {weight.numel()} groups'
                f' (shape {tuple(weight.shape)}), the model has {self.groups}.'
                ' Set the groups of the checkpoint'
            )
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        """Show the configuration in the layer's representation."""
        return (
            f'{self.in_channels}, groups={self.groups}, eps={self.eps}, '
            f'normalize={self.normalize}'
        )
