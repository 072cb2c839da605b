"""ResNet with SGE in its residual blocks."""

import inspect
import re
from typing import Any, Dict, Optional, Sequence

from mmdet.models.backbones.resnet import BasicBlock, Bottleneck, ResNet
from mmdet.models.layers import ResLayer
from mmdet.registry import MODELS
from torch import Tensor

from ...utils.registration import register
from ..families import place_sge
from ..layers import SpatialGroupEnhance, check_plugins
from .sge_blocks import SGEBasicBlock, SGEBottleneck

SGE_OPTIONS = tuple(
    name
    for name in inspect.signature(SpatialGroupEnhance).parameters
    if name != 'in_channels'
)


@register(MODELS)
class SGEResNet(ResNet):
    """SGE-ResNet of `arXiv 1905.09646 <https://arxiv.org/abs/1905.09646>`_.

    MMDetection's ResNet with SGE as the last step of each residual branch,
    before the addition. It takes every option of ``ResNet``, so that
    ``model.backbone.type=SGEResNet`` turns an existing config into one with
    SGE. Its state dict has the keys of the legacy weights, which the paper's
    authors published (``layer1.0.sge.weight``). It also loads the checkpoint
    of a whole classifier or detector that MMEngine wrote: the prefix
    ``backbone.`` is stripped.

    Args:
        depth (int): Depth, from {18, 34, 50, 101, 152}.
        sge (dict, optional): Options of :class:`SpatialGroupEnhance`:
            ``groups`` (one number, or one per stage), ``eps``, ``normalize``,
            ``weight_init``, ``bias_init``. With ``after``, SGE stands
            elsewhere: "outputs", or patterns for names of modules, see
            :func:`sge_mmdet.ops.insert_sge`. Default: None, all of them at
            their defaults.
        sge_stages (Sequence[bool]): Whether SGE is used, one value per stage.
            Default: (True, True, True, True).
        plugins (list[dict], optional): Further plugins, as in ``ResNet``;
            those after conv3 come before SGE. Default: None.
        **kwargs: Arguments of MMDetection's ``ResNet``.

    Raises:
        ValueError: If an option has an unsupported value, or if a loaded
            checkpoint has another depth or width or is not from a ResNet.

    Examples:
        >>> import torch
        >>> from sge_mmdet import SGEResNet
        >>> backbone = SGEResNet(depth=18).eval()
        >>> for feature in backbone(torch.rand(1, 3, 32, 32)):
        ...     print(tuple(feature.shape))
        (1, 64, 8, 8)
        (1, 128, 4, 4)
        (1, 256, 2, 2)
        (1, 512, 1, 1)
    """

    # Maps MMDetection's blocks to those with SGE.
    sge_blocks = {BasicBlock: SGEBasicBlock, Bottleneck: SGEBottleneck}

    def __init__(
        self,
        depth: int,
        sge: Optional[dict] = None,
        sge_stages: Sequence[bool] = (True, True, True, True),
        plugins: Optional[Sequence[dict]] = None,
        **kwargs: Any,
    ) -> None:
        # ResNet.__init__ calls make_res_layer, which reads these two.
        self.sge = dict(sge or {})
        after = self.sge.pop('after', None)
        self.sge_stages = tuple(sge_stages)
        self._check_options(
            depth, kwargs.get('num_stages', 4), plugins, kwargs.get('dcn')
        )
        if after is not None:
            self.sge_stages = (False,) * len(self.sge_stages)
        super().__init__(depth=depth, plugins=plugins, **kwargs)
        if after is not None:
            options = dict(self.sge, after=after)
            # The layers behind the outputs are a child of this name.
            del self.sge
            place_sge(self, options, {})

    def _check_options(
        self,
        depth: int,
        num_stages: int,
        plugins: Optional[Sequence[dict]],
        dcn: Optional[dict],
    ) -> None:
        """Raise a ValueError where ResNet would fail late or silently."""
        if depth not in self.arch_settings:
            raise ValueError(
                f'{type(self).__name__}: expected a depth of '
                f'{", ".join(map(str, self.arch_settings))}, got '
                f'depth={depth!r}'
            )
        unknown = sorted(set(self.sge) - set(SGE_OPTIONS))
        if unknown:
            raise ValueError(
                f'sge: expected options among {", ".join(SGE_OPTIONS)}, '
                f'got {", ".join(unknown)}'
            )
        if len(self.sge_stages) < num_stages:
            raise ValueError(
                'sge_stages: expected a value for each of the '
                f'{num_stages} stages, got {self.sge_stages}'
            )
        groups = self.sge.get('groups')
        if isinstance(groups, (list, tuple)) and len(groups) < num_stages:
            raise ValueError(
                'sge.groups: expected one number, or one for each of the '
                f'{num_stages} stages, got {groups}'
            )
        check_plugins(plugins or ())
        if self.arch_settings[depth][0] is BasicBlock:
            for name, value in (('plugins', plugins), ('dcn', dcn)):
                if value is not None:
                    raise ValueError(
                        f'{name} needs the Bottleneck blocks of depth 50, '
                        f'101 or 152, got depth={depth}, whose BasicBlocks '
                        f'take no {name} in MMDetection; use a greater depth '
                        f'or leave out {name}'
                    )

    def make_res_layer(self, **kwargs: Any) -> ResLayer:
        """Build the next stage, with SGE in its blocks if it is enabled."""
        stage = len(self.res_layers)
        if self.sge_stages[stage]:
            sge = dict(self.sge)
            if isinstance(sge.get('groups'), (list, tuple)):
                sge['groups'] = sge['groups'][stage]
            kwargs.update(block=self.sge_blocks[kwargs['block']], sge=sge)
        return super().make_res_layer(**kwargs)

    def train(self, mode: bool = True) -> 'SGEResNet':
        """Set the training mode and return the backbone, as modules do."""
        super().train(mode)
        return self

    def _load_from_state_dict(
        self, state_dict: 'dict[str, Tensor]', prefix: str, *args: Any
    ) -> None:
        """Load the state dict, unless it belongs to another backbone.

        MMEngine would load the matching part of a ResNet-18 into a ResNet-50,
        log the rest, and start training from it.
        """
        if not prefix:
            self._strip_backbone_prefix(state_dict)
        self._check_depth(state_dict, prefix)
        self._check_width(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _strip_backbone_prefix(self, state_dict: 'dict[str, Tensor]') -> None:
        """Strip the ``backbone.`` prefix from the state dict of a whole model.

        MMEngine would load none of it, log that and train from scratch.
        """
        own = self.state_dict().keys()
        if not state_dict or own & state_dict.keys():
            return
        keys = list(state_dict)
        held = {
            key[len('backbone.') :]: state_dict.pop(key)
            for key in keys
            if key.startswith('backbone.')
        }
        if not own & held.keys():
            raise ValueError(
                f'Expected the weights of an {type(self).__name__}, with '
                'keys such as "layer1.0.conv1.weight", got the keys '
                f'{", ".join(keys[:4])}, ...; nothing was loaded. If its keys '
                'have a prefix before "layer1", set init_cfg.prefix to it; '
                'otherwise load another checkpoint'
            )
        state_dict.update(held)

    def _check_depth(
        self, state_dict: 'dict[str, Tensor]', prefix: str
    ) -> None:
        """Raise if the state dict has other blocks, or another number."""
        found = _count_blocks(state_dict, prefix)
        is_bottleneck = any(
            f'{prefix}layer{stage}.0.conv3.weight' in state_dict
            for stage in found
        )
        if not found or (
            is_bottleneck == issubclass(self.block, Bottleneck)
            and all(
                found.get(stage, count) == count
                for stage, count in enumerate(self.stage_blocks, start=1)
            )
        ):
            return
        depths = [
            depth
            for depth, (block, counts) in self.arch_settings.items()
            if is_bottleneck == issubclass(block, Bottleneck)
            and tuple(found.get(i + 1) for i in range(len(counts))) == counts
        ]
        held = (
            f'a ResNet-{depths[0]}'
            if depths
            else f'{sorted(found.items())} (stage, blocks)'
        )
        raise ValueError(
            f'Expected a checkpoint of depth={self.depth} for this '
            f'{type(self).__name__}, got {held}; nothing was loaded. Set the '
            'depth of the checkpoint in the config, or load a checkpoint of '
            'the same depth'
        )

    def _check_width(
        self, state_dict: 'dict[str, Tensor]', prefix: str
    ) -> None:
        """Raise if the first 3x3 convolution of the blocks differs."""
        name = 'layer1.0.conv2.weight'
        held = state_dict.get(f'{prefix}{name}')
        built = self.state_dict().get(name)
        if held is None or built is None:
            return
        if held.shape != built.shape:
            raise ValueError(
                f'{prefix}{name}: expected the shape {tuple(built.shape)} of '
                f'this {type(self).__name__}, got {tuple(held.shape)} in the '
                'checkpoint; nothing was loaded. Load a checkpoint of a '
                'ResNet of the same kind, groups and width'
            )


def _count_blocks(
    state_dict: 'dict[str, Tensor]', prefix: str
) -> 'dict[int, int]':
    """Return the number of residual blocks of each stage in a state dict."""
    pattern = re.compile(re.escape(prefix) + r'layer(\d)\.(\d+)\.conv1\.')
    counts: Dict[int, int] = {}
    for match in filter(None, map(pattern.match, state_dict)):
        stage, block = map(int, match.groups())
        counts[stage] = max(counts.get(stage, 0), block + 1)
    return counts
