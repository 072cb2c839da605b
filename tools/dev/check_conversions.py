#!/usr/bin/env python3
"""Convert checkpoints and print the largest difference that this made.

Plain models get random weights and norm statistics, are converted to models
with SGE, and run beside them on the same image. The difference is relative to
the largest output.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Iterator, Tuple

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import Tensor, nn

from sge_mmdet import SGEResNet, add_sge
from sge_mmdet.conversion import convert_state_dict, find_config
from sge_mmdet.utils import quiet_log

TOLERANCE = 1e-5
GN = dict(type='GN', num_groups=32)
BACKBONES = {
    'ResNet-18': dict(type='ResNet', depth=18),
    'ResNet-50': dict(type='ResNet', depth=50),
    'ResNet-101': dict(type='ResNet', depth=101),
    'ResNet-50, GN': dict(type='ResNet', depth=50, norm_cfg=GN),
    'ResNet-50, GN and WS': dict(
        type='ResNet', depth=50, norm_cfg=GN, conv_cfg=dict(type='ConvWS')
    ),
    'ResNeXt-101 32x4d': dict(
        type='ResNeXt', depth=101, groups=32, base_width=4
    ),
    'Res2Net-50': dict(type='Res2Net', depth=50, scales=4, base_width=26),
    'ResNeSt-50': dict(type='ResNeSt', depth=50),
    'RegNetX-800MF': dict(type='RegNet', arch='regnetx_800mf'),
    'TridentNet-50': dict(
        type='TridentResNet',
        depth=50,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
        num_branch=3,
        test_branch_idx=1,
        trident_dilations=(1, 2, 3),
    ),
}
DETECTORS = {
    'Faster R-CNN R-50': 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'Mask R-CNN R-50': 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    'Cascade R-CNN R-50': 'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py',
    'RetinaNet R-50': 'retinanet/retinanet_r50_fpn_1x_coco.py',
    'Mask R-CNN R-50, GN': 'gn/mask-rcnn_r50_fpn_gn-all_2x_coco.py',
}


class Features(nn.Module):
    """A backbone by the name that it has in a detector, and maybe a neck."""

    def __init__(self, backbone: dict, neck: Any = None) -> None:
        super().__init__()
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck) if neck else nn.Identity()

    def forward(self, image: Tensor) -> Any:
        """Return the features of an image."""
        return self.neck(self.backbone(image))


def draw_weights_and_statistics(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give a model weights that all leave their trace; return it."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                gain = (2 / parameter[0].numel()) ** 0.5
                parameter.normal_(0, gain, generator=generator)
            else:
                parameter.uniform_(0, 0.5, generator=generator)
        for name, parameter in model.named_parameters():
            if name.endswith('_reg.weight'):
                # As in a trained detector, boxes move a little: each move
                # multiplies the rounding of what came before.
                parameter *= 0.01
        for name, value in model.named_buffers():
            if name.endswith('running_mean'):
                value.normal_(0, 0.1, generator=generator)
            if name.endswith('running_var'):
                value.uniform_(0.5, 1.5, generator=generator)
    model.eval()
    return model


def convert_plain(cfg: Config, **options: Any) -> Tuple[nn.Module, nn.Module]:
    """Return a plain model and the same with fresh SGE in it.

    Args:
        cfg (Config): Config of the plain model.
        **options: Of ``add_sge``.
    """
    plain = draw_weights_and_statistics(MODELS.build(cfg.model))
    with quiet_log():
        ours = MODELS.build(add_sge(cfg, **options).model)
    # It loads the weights, to see that they fit.
    state, _ = convert_state_dict(plain.state_dict(), ours)
    ours.load_state_dict(state, strict=True)
    ours.eval()
    return plain, ours


def relative_difference(before: Any, after: Any) -> float:
    """Return the largest max |after - before| / max |before| of a tensor."""
    pairs = [list(_tensors(outputs)) for outputs in (before, after)]
    assert len(pairs[0]) == len(pairs[1])
    # Unlike Python's, torch's maximum is NaN if one is.
    return float(
        torch.stack(
            [(a - b).abs().max() / a.abs().max() for a, b in zip(*pairs)]
        ).max()
    )


def compare_detectors(
    plain: nn.Module, ours: nn.Module, image: Tensor
) -> float:
    """Return the largest relative difference of any head's raw output.

    Heads behind proposals see the same proposals, those of the plain model:
    rounding could change the order of two that score alike.
    """
    features = [model.extract_feat(image) for model in (plain, ours)]
    differences = [relative_difference(*features)]
    has_rpn = getattr(plain, 'with_rpn', False)
    first = 'rpn_head' if has_rpn else 'bbox_head'
    differences.append(
        relative_difference(
            *(
                getattr(model, first)(maps)
                for model, maps in zip((plain, ours), features)
            )
        )
    )
    if has_rpn:
        size = tuple(image.shape[2:])
        samples = [
            DetDataSample(
                metainfo=dict(
                    img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0)
                )
            )
        ]
        proposals = plain.rpn_head.predict(features[0], samples, rescale=False)
        differences.append(
            relative_difference(
                *(
                    model.roi_head.forward(maps, proposals, samples)
                    for model, maps in zip((plain, ours), features)
                )
            )
        )
    return float(torch.tensor(differences).max())


def compare_authors_classifier(depth: int) -> float:
    """Return the difference to the features of the authors' own code."""
    golden = _load_test_module('golden')
    weights = {
        f'module.{key}': value
        for key, value in golden.golden_weights(depth).items()
    }
    backbone = SGEResNet(depth)
    backbone.load_state_dict(convert_state_dict(weights).state_dict)
    backbone.eval()
    image, stages = golden.golden_stages(depth)
    return relative_difference(stages, backbone(image))


def compare_authors_heads(kind: str) -> float:
    """Return the difference between heads of the old and the new layout.

    Args:
        kind (str): "faster-rcnn", "mask-rcnn", "cascade-rcnn", "retinanet".
    """
    old = _load_test_module('old_detectors').old_state_dict(kind)
    new = convert_state_dict(old).state_dict
    before, after = [], []
    for key, weight in old.items():
        layer = key.split('.')[-2]
        if not key.endswith('.weight') or layer not in (
            'fc_cls',
            'fc_reg',
            'conv_logits',
            'retina_cls',
            'rpn_cls',
        ):
            continue
        moved = key if key in new else f'roi_head.{key}'
        x = torch.randn(5, weight.shape[1])
        held, got = (
            torch.nn.functional.linear(
                x,
                state[name].flatten(1)[:, : x.shape[1]],
                state[name.replace('weight', 'bias')],
            )
            for state, name in ((old, key), (new, moved))
        )
        if layer == 'fc_cls':
            held, got = held.softmax(1), got.softmax(1)
            held = torch.cat([held[:, 1:], held[:, :1]], 1)
        elif layer in ('fc_reg', 'conv_logits'):
            # Without what belonged to the background.
            held = held[:, held.shape[1] - got.shape[1] :]
        before.append(held)
        after.append(got)
    return relative_difference(before, after)


def _load_test_module(name: str) -> ModuleType:
    """Return a helper of the tests, which hold the authors' figures."""
    folder = str(Path(__file__).resolve().parents[2])
    if folder not in sys.path:
        sys.path.append(folder)
    return import_module(f'tests.helpers.{name}')


def _tensors(outputs: Any) -> Iterator[Tensor]:
    if isinstance(outputs, Tensor):
        yield outputs.double()
    elif isinstance(outputs, (list, tuple)):
        for output in outputs:
            yield from _tensors(output)


@torch.no_grad()
def rows() -> Iterator[Tuple[str, str, float]]:
    """Yield what was converted, what was compared, and the difference."""
    image = torch.randn(
        1, 3, 224, 224, generator=torch.Generator().manual_seed(0)
    )
    MODELS.register_module(module=Features, force=True)
    for name, backbone in BACKBONES.items():
        cfg = Config(dict(model=dict(type='Features', backbone=backbone)))
        plain, ours = convert_plain(cfg)
        yield name, 'backbone', relative_difference(plain(image), ours(image))
    for name, path in DETECTORS.items():
        cfg = Config.fromfile(find_config(f'mmdet::{path}'))
        for where in 'backbone', 'both':
            plain, ours = convert_plain(cfg, where=where)
            place = 'backbone' if where == 'backbone' else 'backbone and FPN'
            yield (
                name,
                f'detector, SGE in {place}',
                compare_detectors(plain, ours, image),
            )
    for depth in 18, 50:
        yield (
            f"authors' SGE-ResNet-{depth}",
            "features of the authors' code",
            compare_authors_classifier(depth),
        )
    for kind in 'faster-rcnn', 'mask-rcnn', 'cascade-rcnn', 'retinanet':
        yield (
            f"authors' {kind}",
            'scores, boxes, masks of the old heads',
            compare_authors_heads(kind),
        )


def main() -> None:
    """Print the table; exit status 1 if a difference is too large."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    register_all_modules()
    print(f'{"checkpoint":22} {"compared":36} largest relative difference')
    good = True
    for name, compared, difference in rows():
        good &= difference < TOLERANCE  # False for NaN as well
        print(
            f'{name:22} {compared:36} {difference:.1e}'
            f'{"" if difference < TOLERANCE else "  TOO LARGE"}',
            flush=True,
        )
    sys.exit(not good)


if __name__ == '__main__':
    main()
