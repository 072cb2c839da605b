"""Default places of SGE in the families of backbones, necks and heads.

Families are told apart by the names of their classes and modules, so that
those of MMPretrain and of other packages are found without an import.
"""

from collections import defaultdict
from typing import Any, Callable, Dict, List, Mapping, Optional, Union

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.modules.batchnorm import _NormBase

from ..ops import insert_sge

# Last module of the residual branch of a block, by the name of the block. A
# name that ends in "_name" is an attribute with the name of the module.
BLOCK_ENDS = {
    # ResNet, Res2Net, RegNet, ResNeSt, DetectoRS, TridentNet, HRNet,
    # Hourglass.
    'BasicBlock': ('norm2_name',),
    'Bottleneck': ('norm3_name',),
    # CSPNeXt (RTMDet), CSPDarknet (YOLOX), Darknet (YOLOv3).
    'CSPNeXtBlock': ('conv2',),
    'DarknetBottleneck': ('conv2',),
    'ResBlock': ('conv2',),
    # MobileNetV2, EfficientNet.
    'InvertedResidual': ('linear_conv', 'conv'),
    'EdgeResidual': ('conv2',),
    # ConvNeXt, of MMPretrain; before it stands the scale of the layer.
    'ConvNeXtBlock': ('drop_path',),
}
# Numbers of channels of a neck's outputs, from the neck's arguments. Other
# necks have the attributes `out_channels` and `num_outs`.
NECK_OUTPUTS: Dict[str, Callable[[Mapping[str, Any]], List[int]]] = {
    'BFP': lambda args: [args['in_channels']] * args['num_levels'],
    'CSPNeXtPAFPN': lambda args: (
        [args['out_channels']] * len(args['in_channels'])
    ),
    'CTResNetNeck': lambda args: [args['num_deconv_filters'][-1]],
    'DilatedEncoder': lambda args: [args['out_channels']],
    'SSDNeck': lambda args: [*args['out_channels']],
    'SSH': lambda args: [*args['out_channels']],
    'YOLOV3Neck': lambda args: [*args['out_channels']],
    'YOLOXPAFPN': lambda args: (
        [args['out_channels']] * len(args['in_channels'])
    ),
}
# Attributes of heads with stacks of convolutions before the predictions.
TOWERS = (
    'bbox_subnet',
    'cls_convs',
    'cls_subnet',
    'convs',
    'head_convs',
    'kernel_convs',
    'mask_convs',
    'mask_convs_x',
    'mask_convs_y',
    'multi_level_cls_convs',
    'multi_level_reg_convs',
    'reg_convs',
    'rpn_conv',
    'shared_convs',
)
# Attributes of heads with convolutions that predictions are made from, each.
LEVELS = ('convs_bridge', 'inter_convs')
NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)
# Height and width of the image that shows a backbone's outputs, in pixels. The
# stacked hourglasses need a multiple of 128.
IMAGE_SIZE = 128


def place_sge(
    module: nn.Module, sge: Mapping[str, Any], arguments: Mapping[str, Any]
) -> None:
    """Insert SGE into a part of a detector.

    Args:
        module (nn.Module): Backbone, neck or head; it is changed in place.
        sge (Mapping): Options of :func:`sge_mmdet.ops.insert_sge`. Where
            ``after`` is missing, the default place of the family is taken;
            ``after="outputs"`` names the outputs.
        arguments (Mapping): Arguments that ``module`` was built with.

    Raises:
        TypeError: If an option is unknown, or an output is no feature map.
        ValueError: If SGE cannot be inserted at the place.
    """
    options = dict(sge)
    after = options.pop('after', None)
    if after is None:
        after = default_place(module)
    if after != 'outputs':
        for channels, names in _by_channels(module, after).items():
            insert_sge(module, names, out_channels=channels, **options)
        return
    if 'out_channels' not in options:
        options['out_channels'] = _output_channels(module, arguments)
    insert_sge(module, **options)


def default_place(module: nn.Module) -> Union[str, List[str]]:
    """Return where SGE goes in a module unless its options say it.

    Args:
        module (nn.Module): Backbone, neck or head.

    Returns:
        str or list[str]: "outputs", or the names of modules inside.

    Raises:
        ValueError: If the module is a head without a stack of convolutions.
    """
    kind = kind_of(type(module))
    if kind == 'neck':
        return 'outputs'
    if kind == 'head':
        return tower_ends(module)
    return block_ends(module) or 'outputs'


def kind_of(cls: type) -> str:
    """Return whether a class is a "backbone", a "neck" or a "head".

    Args:
        cls (type): Class of MMDetection or MMPretrain, or derived from one;
            other classes count as backbones.
    """
    modules = [base.__module__ for base in cls.__mro__]
    if any('.necks.' in name for name in modules):
        return 'neck'
    if any('_heads.' in name for name in modules):
        return 'head'
    return 'backbone'


def block_ends(module: nn.Module) -> List[str]:
    """Return the last modules of all residual branches inside a module.

    Args:
        module (nn.Module): Backbone.

    Returns:
        list[str]: Names of modules; empty if there is no known block.
    """
    return [
        f'{name}.{end}'
        for name, part in module.named_modules()
        for end in filter(None, [_block_end(part)])
    ]


def _block_end(block: nn.Module) -> Optional[str]:
    """Return the name of the last module of a block's residual branch."""
    for cls in type(block).__mro__:
        for end in BLOCK_ENDS.get(cls.__name__, ()):
            if end.endswith('_name'):
                end = getattr(block, end, '')
            if isinstance(getattr(block, end, None), nn.Module):
                return end
    return None


def tower_ends(head: nn.Module) -> List[str]:
    """Return the last convolutions of a head before its predictions.

    Args:
        head (nn.Module): Dense head, or box or mask head of RoIs.

    Returns:
        list[str]: Names of modules.

    Raises:
        ValueError: If the head has no stack of convolutions with norm or
            activation.
    """
    found = [
        name
        for tower in TOWERS
        for name in _last_convs(tower, getattr(head, tower, None))
    ] + [
        f'{level}.{index}'
        for level in LEVELS
        for index, _ in enumerate(getattr(head, level, ()))
    ]
    if not found:
        raise ValueError(
            f'{type(head).__name__} has no stack of convolutions before its '
            'predictions that SGE could follow; name modules with '
            'sge=dict(after=[...])'
        )
    return found


def _last_convs(name: str, tower: Any) -> List[str]:
    """Return the last convolution of a tower, or of each of its levels."""
    if _is_hidden_conv(tower) or (
        # RPN runs an activation on it.
        name == 'rpn_conv' and isinstance(tower, nn.Conv2d)
    ):
        return [name]
    if not isinstance(tower, (nn.ModuleList, nn.Sequential)) or not len(tower):
        return []
    if isinstance(tower, nn.ModuleList) and all(
        isinstance(part, (nn.ModuleList, nn.Sequential)) for part in tower
    ):
        return [
            end
            for index, part in enumerate(tower)
            for end in _last_convs(f'{name}.{index}', part)
        ]
    last = len(tower) - 1
    return _last_convs(f'{name}.{last}', tower[last])


def _is_hidden_conv(module: Any) -> bool:
    """Return whether a module is a convolution with its norm or activation.

    A bare convolution at the end of a tower is the prediction itself.
    """
    return any(
        cls.__name__ in ('ConvModule', 'DepthwiseSeparableConvModule')
        for cls in type(module).__mro__
    ) and not (
        hasattr(module, 'with_norm')
        and not module.with_norm
        and not module.with_activation
    )


def _by_channels(module: nn.Module, after: Any) -> Dict[Optional[int], Any]:
    """Return the places by their channels, None where they show them."""
    if not isinstance(after, (list, tuple)):
        return {None: after}
    places: Dict[Optional[int], List[str]] = defaultdict(list)
    parts = dict(module.named_modules())
    for name in after:
        block = parts.get(name.rpartition('.')[0])
        shows_none = isinstance(parts.get(name), nn.Identity) or (
            type(parts.get(name)).__name__ == 'DropPath'
        )
        conv = getattr(block, 'depthwise_conv', None)
        places[conv.out_channels if shows_none and conv else None].append(name)
    return dict(places)


def _output_channels(
    module: nn.Module, arguments: Mapping[str, Any]
) -> Union[int, List[int], None]:
    """Return the channels of a module's outputs, None where it shows them."""
    for cls in type(module).__mro__:
        if cls.__name__ in NECK_OUTPUTS:
            return NECK_OUTPUTS[cls.__name__](arguments)
        if cls.__name__ == 'DyHead':
            raise ValueError(
                'DyHead takes any number of levels; give the channels of '
                'each, such as sge=dict(out_channels=[256] * 5)'
            )
    if kind_of(type(module)) == 'neck':
        return None
    return backbone_channels(module)


def backbone_channels(backbone: nn.Module) -> Union[int, List[int]]:
    """Return the numbers of channels of a backbone's outputs.

    The backbone runs on an image on the meta device, which costs next to
    nothing and changes nothing.

    Args:
        backbone (nn.Module): Module that takes images of shape (N, 3, H, W).

    Returns:
        int or list[int]: One number if the backbone returns a single map.

    Raises:
        ValueError: If it cannot be run so, or its outputs are no feature maps.
    """
    image = torch.empty(1, 3, IMAGE_SIZE, IMAGE_SIZE, device='meta')
    try:
        outputs = run_without_weights(backbone, image)
    except Exception as error:
        # Backbones raise any type of error.
        raise ValueError(
            f'The channels of the outputs of {type(backbone).__name__} are '
            f'unknown, because it does not run on the meta device '
            f'({type(error).__name__}: {error}); give them with '
            'sge=dict(out_channels=[...])'
        ) from error
    return _channels_of(backbone, outputs)


def run_without_weights(module: nn.Module, inputs: Any) -> Any:
    """Run a module on the meta device, in evaluation mode.

    Args:
        module (nn.Module): Module on any device; it does not change.
        inputs: Its argument, on the meta device.
    """
    weights = {
        name: tensor.to('meta')
        for group in (module.named_parameters(), module.named_buffers())
        for name, tensor in group
    }
    modes = {part: part.training for part in module.modules()}
    replaced = [part for part in modes if _shape_of(part)]
    try:
        for part in modes:
            part.training = False
        for part in replaced:
            vars(part)['forward'] = _shape_of(part)
        with torch.no_grad():
            return functional_call(module, weights, (inputs,))
    finally:
        for part in replaced:
            del vars(part)['forward']
        for part, is_training in modes.items():
            part.training = is_training


def _channels_of(backbone: nn.Module, outputs: Any) -> Union[int, List[int]]:
    """Return the channels of a backbone's outputs, which must be maps."""
    maps = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    if not maps or not all(
        isinstance(part, Tensor) and part.dim() == 4 for part in maps
    ):
        raise ValueError(
            f'{type(backbone).__name__} returns no feature maps of shape '
            '(N, C, H, W), which SGE needs; use a backbone or options whose '
            'outputs are maps'
        )
    channels = [part.shape[1] for part in maps]
    return channels if maps is outputs else channels[0]


def _shape_of(part: nn.Module) -> Optional[Callable[..., Tensor]]:
    """Return a function with the output shape of a layer, for the meta device.

    mmcv's own operators do not run there, and norms take long. None for
    layers that run as they are.
    """
    if isinstance(part, NORMS):
        return lambda x, *_, **__: x
    kinds = {cls.__name__ for cls in type(part).__mro__}
    if kinds & {'DeformConv2d', 'ModulatedDeformConv2d', 'SAConv2d'}:
        conv: Any = part
        return lambda x, *_: functional.conv2d(
            x,
            conv.weight,
            None,
            conv.stride,
            conv.padding,
            conv.dilation,
            conv.groups,
        )
    return None
