"""The detectors of MMDetection 0.6: names and shapes of their weights."""

import torch

from tests.helpers import golden

CLASSES = 80
ROWS = CLASSES + 1  # the background comes first


def old_state_dict(kind, seed=0):
    """Return random weights of a detector with SGE-ResNet-50, as 0.6 held it.

    Args:
        kind (str): "faster-rcnn", "mask-rcnn", "cascade-rcnn" or "retinanet".
        seed (int): Of the weights.
    """
    shapes = {
        f'backbone.{key}': shape
        for key, shape in golden.golden_keys(50).items()
        if not key.startswith('fc.')
    }
    shapes.update(_retinanet() if kind == 'retinanet' else _two_stage(kind))
    generator = torch.Generator().manual_seed(seed)
    return {
        key: torch.tensor(0)
        if key.endswith('tracked')
        else 0.02 * torch.randn(shape, generator=generator).abs()
        for key, shape in shapes.items()
    }


def _with_bias(name, *shape):
    return {f'{name}.weight': shape, f'{name}.bias': shape[:1]}


def _pyramid(channels, extra=()):
    shapes = {}
    for i, count in enumerate(channels):
        shapes.update(
            _with_bias(f'neck.lateral_convs.{i}.conv', 256, count, 1, 1)
        )
    for i, count in enumerate([256] * len(channels) + list(extra)):
        shapes.update(_with_bias(f'neck.fpn_convs.{i}.conv', 256, count, 3, 3))
    return shapes


def _retinanet():
    shapes = _pyramid([512, 1024, 2048], extra=[2048, 256])
    for branch in 'cls', 'reg':
        for i in range(4):
            shapes.update(
                _with_bias(
                    f'bbox_head.{branch}_convs.{i}.conv', 256, 256, 3, 3
                )
            )
    shapes.update(_with_bias('bbox_head.retina_cls', 9 * CLASSES, 256, 3, 3))
    shapes.update(_with_bias('bbox_head.retina_reg', 9 * 4, 256, 3, 3))
    return shapes


def _two_stage(kind):
    shapes = _pyramid([256, 512, 1024, 2048])
    shapes.update(_with_bias('rpn_head.rpn_conv', 256, 256, 3, 3))
    shapes.update(_with_bias('rpn_head.rpn_cls', 3, 256, 1, 1))
    shapes.update(_with_bias('rpn_head.rpn_reg', 12, 256, 1, 1))
    is_cascade = kind == 'cascade-rcnn'
    for head in (
        ['bbox_head.0', 'bbox_head.1', 'bbox_head.2']
        if is_cascade
        else ['bbox_head']
    ):
        shapes.update(_with_bias(f'{head}.shared_fcs.0', 1024, 256 * 49))
        shapes.update(_with_bias(f'{head}.shared_fcs.1', 1024, 1024))
        shapes.update(_with_bias(f'{head}.fc_cls', ROWS, 1024))
        shapes.update(
            _with_bias(f'{head}.fc_reg', 4 if is_cascade else 4 * ROWS, 1024)
        )
    if kind == 'mask-rcnn':
        for i in range(4):
            shapes.update(
                _with_bias(f'mask_head.convs.{i}.conv', 256, 256, 3, 3)
            )
        shapes['mask_head.upsample.weight'] = (256, 256, 2, 2)
        shapes['mask_head.upsample.bias'] = (256,)
        shapes.update(_with_bias('mask_head.conv_logits', ROWS, 256, 1, 1))
    return shapes
