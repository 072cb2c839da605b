"""Conversion of legacy weights, published by the authors of arXiv 1905.09646.

The classifiers are plain PyTorch. The detectors were trained with a fork of
MMDetection 0.6, where class 0 is the background, the heads of two-stage
detectors are siblings of the backbone, and class-specific layers have a row
for the background. In MMDetection 3.x the background is the last class and
has a row only where it is needed.
"""

import re
from typing import Dict, Iterable

import torch
from torch import Tensor

HEADS = ('bbox_head.', 'mask_head.')


def strip_module(state_dict: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Strip the ``module.`` prefix, which DataParallel adds to every key."""
    return {
        re.sub(r'^module\.', '', key): value
        for key, value in state_dict.items()
    }


def is_legacy_two_stage(keys: Iterable[str]) -> bool:
    """Return whether the keys belong to a two-stage detector before 2.0."""
    return any(
        re.match(r'bbox_head\.(\d\.)?fc_(cls|reg)\.', key) for key in keys
    )


def upgrade_legacy_detector(
    state_dict: Dict[str, Tensor],
) -> Dict[str, Tensor]:
    """Convert the weights of an MMDetection 0.6 detector to MMDetection 3.x.

    Supported are Faster, Mask and Cascade R-CNN and RetinaNet. RPN and
    RetinaNet score classes with sigmoids and have no background, so their
    weights do not change. The weights do not define box coding and RoI
    pooling; the configs in ``configs/sge/legacy`` do.

    Args:
        state_dict (dict[str, Tensor]): Weights with the keys of 0.6, without
            the prefix ``module.``.

    Returns:
        dict[str, Tensor]: Weights with the keys and layouts of 3.x.

    Raises:
        ValueError: If a head's layers do not have a row for each class and
            the background.
    """
    if not is_legacy_two_stage(state_dict):
        return dict(state_dict)
    # Number of classes with the background, the same in all heads.
    rows = next(
        (
            len(value)
            for key, value in state_dict.items()
            if re.match(r'bbox_head\.(\d\.)?fc_cls\.weight', key)
            and value.dim()
        ),
        None,
    )
    if rows is None:
        raise ValueError(
            'Expected a bbox_head.fc_cls.weight, as in two-stage detectors of '
            'MMDetection 0.6, got none; name a checkpoint of a whole detector'
        )
    upgraded = {}
    for key, value in state_dict.items():
        if key.startswith(HEADS):
            value = _upgrade_rows(key, value, rows)
            key = f'roi_head.{key}'
        upgraded[key] = value
    return upgraded


def _upgrade_rows(key: str, value: Tensor, rows: int) -> Tensor:
    """Move or drop the rows of the background in a layer of a head.

    Args:
        key (str): Name of the parameter.
        value (Tensor): Weight or bias with one row per output.
        rows (int): Number of classes, including the background.
    """
    layer = key.split('.')[-2]
    if layer not in ('fc_cls', 'fc_reg', 'conv_logits'):
        return value
    held = len(value) if value.dim() else 0
    if layer == 'fc_cls':
        _check_rows(key, held, (rows,))
        return torch.cat([value[1:], value[:1]])
    if layer == 'fc_reg':
        _check_rows(key, held, (4, 4 * rows))
        return value[4:] if held > 4 else value
    _check_rows(key, held, (1, rows))
    return value[1:] if held > 1 else value


def _check_rows(key: str, held: int, expected: 'tuple[int, ...]') -> None:
    if held not in expected:
        raise ValueError(
            f'{key}: expected {" or ".join(map(str, expected))} rows, as in a '
            f'head of MMDetection 0.6, got {held}'
        )
