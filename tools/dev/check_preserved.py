#!/usr/bin/env python3
"""Compare detectors before and after SGE with preserve=True is added.

Detectors of MMDetection's configs get random weights and norm statistics.
SGE is added behind backbone and neck as ``tools/add_sge.py --preserve`` does,
and the plain weights are loaded as they are. Both run on the same image. The
difference of an output is relative to its largest value.

``--out docs/results/preserved.csv`` stores the table, and its summary beside
it; ``make figures`` renders that.
"""

import argparse
import csv
import json
import sys
import traceback
from datetime import date
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

import torch
from check_conversions import TOLERANCE, draw_weights_and_statistics
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import Tensor, nn

from sge_mmdet import SpatialGroupEnhance, add_sge
from sge_mmdet.conversion import NotApplicableError
from sge_mmdet.utils import quiet_log, upstream_path

# A config of each family, by the kind of detector.
CONFIGS: Dict[str, Tuple[str, ...]] = {
    'one stage, anchors or points': (
        'atss/atss_r50_fpn_1x_coco.py',
        'autoassign/autoassign_r50-caffe_fpn_1x_coco.py',
        'boxinst/boxinst_r50_fpn_ms-90k_coco.py',
        'condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py',
        'ddod/ddod_r50_fpn_1x_coco.py',
        'efficientnet/retinanet_effb3_fpn_8xb4-crop896-1x_coco.py',
        'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
        'foveabox/fovea_r50_fpn_4xb4-1x_coco.py',
        'free_anchor/freeanchor_r50_fpn_1x_coco.py',
        'fsaf/fsaf_r50_fpn_1x_coco.py',
        'gfl/gfl_r50_fpn_1x_coco.py',
        'hrnet/fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco.py',
        'nas_fcos/nas-fcos_r50-caffe_fpn_nashead-gn-head_4xb4-1x_coco.py',
        'nas_fpn/retinanet_r50_nasfpn_crop640-50e_coco.py',
        'paa/paa_r50_fpn_1x_coco.py',
        'pvt/retinanet_pvt-t_fpn_1x_coco.py',
        'pvt/retinanet_pvtv2-b0_fpn_1x_coco.py',
        'reppoints/reppoints-moment_r50_fpn_1x_coco.py',
        'retinanet/retinanet_r50_fpn_1x_coco.py',
        'rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
        'rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py',
        'solo/solo_r50_fpn_1x_coco.py',
        'solov2/solov2_r50_fpn_1x_coco.py',
        'ssd/ssd300_coco.py',
        'ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py',
        'tood/tood_r50_fpn_1x_coco.py',
        'vfnet/vfnet_r50_fpn_1x_coco.py',
        'yolact/yolact_r50_1xb8-55e_coco.py',
        'yolo/yolov3_d53_8xb8-320-273e_coco.py',
        'yolo/yolov3_mobilenetv2_8xb24-320-300e_coco.py',
        'yolof/yolof_r50-c5_8xb8-1x_coco.py',
        'yolox/yolox_s_8xb8-300e_coco.py',
    ),
    'corners and centres': (
        'centernet/centernet_r18_8xb16-crop512-140e_coco.py',
        'centripetalnet/'
        'centripetalnet_hourglass104_16xb6-crop511-210e-mstest_coco.py',
        'cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py',
    ),
    'two stages': (
        'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py',
        'convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py',
        'double_heads/dh-faster-rcnn_r50_fpn_1x_coco.py',
        'dynamic_rcnn/dynamic-rcnn_r50_fpn_1x_coco.py',
        'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
        'fpg/faster-rcnn_r50_fpg_crop640-50e_coco.py',
        'gn/mask-rcnn_r50_fpn_gn-all_2x_coco.py',
        'grid_rcnn/grid-rcnn_r50_fpn_gn-head_2x_coco.py',
        'hrnet/faster-rcnn_hrnetv2p-w18-1x_coco.py',
        'libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco.py',
        'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
        'ms_rcnn/ms-rcnn_r50-caffe_fpn_1x_coco.py',
        'pafpn/faster-rcnn_r50_pafpn_1x_coco.py',
        'point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py',
        'regnet/faster-rcnn_regnetx-3.2GF_fpn_1x_coco.py',
        'res2net/faster-rcnn_res2net-101_fpn_2x_coco.py',
        'resnest/faster-rcnn_s50_fpn_syncbn-backbone+head_ms-range-1x_coco.py',
        'sabl/sabl-faster-rcnn_r50_fpn_1x_coco.py',
        'swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py',
    ),
    'queries': (
        'conditional_detr/conditional-detr_r50_8xb2-50e_coco.py',
        'dab_detr/dab-detr_r50_8xb2-50e_coco.py',
        'ddq/ddq-detr-4scale_r50_8xb2-12e_coco.py',
        'deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
        'detr/detr_r50_8xb2-150e_coco.py',
        'dino/dino-4scale_r50_8xb2-12e_coco.py',
        'mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
        'maskformer/maskformer_r50_ms-16xb1-75e_coco.py',
    ),
}
# Height and width of the image, in pixels, and what some detectors need.
SIZE = 128
SIZES = {
    'ddod/ddod_r50_fpn_1x_coco.py': 384,
    'dino/dino-4scale_r50_8xb2-12e_coco.py': 256,
    'ssd/ssd300_coco.py': 300,
}
# Detectors that run in float64. In SOLO, which keeps scores that equal the
# maximum of their neighbours, and in DINO, which keeps the best queries,
# rounding decides between equal scores; the others multiply what rounding left
# by more than ten.
IN_DOUBLE = (
    'dino/dino-4scale_r50_8xb2-12e_coco.py',
    'reppoints/reppoints-moment_r50_fpn_1x_coco.py',
    'solo/solo_r50_fpn_1x_coco.py',
    'yolact/yolact_r50_1xb8-55e_coco.py',
)
COLUMNS = (
    'config',
    'kind',
    'backbone',
    'neck',
    'SGE layers',
    'dtype',
    'features',
    'heads',
    'date',
    'torch',
)


class Compared(NamedTuple):
    """What came of a detector.

    Attributes:
        layers: Number of its SGE layers.
        features: Largest relative difference of the features.
        heads: Largest relative difference of the heads' raw outputs.
    """

    layers: int
    features: float
    heads: float


def check_config(name: str) -> Tuple[Config, Compared]:
    """Compare a detector with and without SGE.

    Args:
        name (str): Path below MMDetection's ``configs``.

    Returns:
        tuple[Config, Compared]: Config with SGE, and the differences.
    """
    cfg = Config.fromfile(upstream_path('configs', name))
    with quiet_log():
        try:
            changed = add_sge(cfg, where='both', preserve=True)
        except NotApplicableError:
            # There is no neck.
            changed = add_sge(cfg, where='backbone', preserve=True)
        plain = draw_weights_and_statistics(MODELS.build(cfg.model))
        ours = MODELS.build(changed.model)
        missing, unexpected = ours.load_state_dict(
            plain.state_dict(), strict=False
        )
    ours.eval()
    layers = {
        name: module
        for name, module in ours.named_modules()
        if isinstance(module, SpatialGroupEnhance)
    }
    assert layers and not unexpected
    surplus = [k for k in missing if not _belongs_to(k, layers)]
    assert not surplus, surplus
    size = SIZES.get(name, SIZE)
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, size, size, generator=generator)
    if name in IN_DOUBLE:
        plain, ours, image = plain.double(), ours.double(), image.double()
    return changed, Compared(len(layers), *compare(plain, ours, image))


def _belongs_to(key: str, layers: Dict[str, nn.Module]) -> bool:
    # A layer that has two names is found under one of them.
    owner = key.rpartition('.')[0]
    return owner in layers or '.sge' in f'.{owner}'


@torch.no_grad()
def compare(
    plain: nn.Module, ours: nn.Module, image: Tensor
) -> Tuple[float, float]:
    """Return the differences of features and of the heads' raw outputs.

    Heads behind proposals see the same proposals, those of the plain model:
    rounding could change the order of two that score alike.
    """
    maps = [extract(model, image) for model in (plain, ours)]
    features = difference(*maps)
    outputs: List[Any] = []
    if getattr(plain, 'with_rpn', False):
        samples = [new_sample(image)]
        if hasattr(plain.rpn_head, 'predict'):
            proposals = plain.rpn_head.predict(maps[0], samples, rescale=False)
        for model, levels in zip((plain, ours), maps):
            heads = [model.roi_head.forward(levels, proposals, samples)]
            if isinstance(model.rpn_head, nn.Module):
                heads.append(first_outputs(model, levels))
            outputs.append(heads)
    else:
        for model in (plain, ours):
            outputs.append(
                model.forward(image, [new_sample(image)], mode='tensor')
            )
    return features, difference(*outputs)


def first_outputs(model: Any, levels: Any) -> Any:
    """Return the raw outputs of a head on proposals, where it has any."""
    forward = getattr(model.rpn_head, 'forward_single', None)
    return model.rpn_head(levels) if forward else ()


def extract(model: Any, image: Tensor) -> Any:
    """Return the features of an image."""
    return model.extract_feat(image)


def new_sample(image: Tensor) -> DetDataSample:
    """Return what a detector is told of the image."""
    size = tuple(image.shape[2:])
    sample = DetDataSample(
        metainfo=dict(
            img_shape=size,
            ori_shape=size,
            pad_shape=size,
            batch_input_shape=size,
            scale_factor=(1.0, 1.0),
        )
    )
    sample.gt_instances = InstanceData(
        bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
    )
    return sample


def difference(before: Any, after: Any) -> float:
    """Return the largest max |after - before| / max |before| of a tensor."""
    pairs = [list(tensors(outputs)) for outputs in (before, after)]
    assert len(pairs[0]) == len(pairs[1]) > 0
    found = [
        (a - b).abs().max() / a.abs().max().clamp_min(1e-30)
        for a, b in zip(*pairs)
        if a.numel()
    ]
    # Unlike Python's, torch's maximum is NaN if one is.
    return float(torch.stack(found).max())


def tensors(outputs: Any) -> Iterator[Tensor]:
    """Yield all floating point tensors in what a model returns."""
    if isinstance(outputs, Tensor):
        if outputs.is_floating_point():
            yield outputs.double()
    elif isinstance(outputs, (list, tuple)):
        for output in outputs:
            yield from tensors(output)
    elif isinstance(outputs, dict):
        for output in outputs.values():
            yield from tensors(output)
    elif isinstance(outputs, InstanceData):
        yield from tensors(dict(outputs.items()))


def summarise(rows: List[Dict[str, Any]]) -> dict:
    """Return the content of the file that pages show."""
    shown = []
    for kind in dict.fromkeys(row['kind'] for row in rows):
        of_kind = [row for row in rows if row['kind'] == kind]
        shown.append(
            [
                kind,
                str(len(of_kind)),
                str(len({row['backbone'] for row in of_kind})),
                *(
                    f'{max(float(row[column]) for row in of_kind):.1e}'
                    for column in ('features', 'heads')
                ),
            ]
        )
    return dict(
        what='Largest relative difference between detectors of MMDetection '
        'and the same with SGE (preserve=True) in backbone and neck, which '
        'have loaded the same random weights',
        command='tools/dev/check_preserved.py --out '
        'docs/results/preserved.csv',
        date=str(date.today()),
        hardware='CPU, float32; float64 for four, in which a '
        'comparison of rounded scores decides, or which multiply rounding',
        versions='as pinned in requirements/environment.txt '
        f'(torch {torch.__version__.partition("+")[0]}, mmcv 2.1.0, '
        'mmdet 3.3.0)',
        data='preserved.csv',
        columns=[
            'kind',
            'detectors',
            'types of backbones',
            'features',
            'raw outputs of heads',
        ],
        rows=shown,
    )


def run(names: List[str]) -> Tuple[List[Dict[str, Any]], List[str]]:
    """Return the rows of all detectors, and the names of those that differ."""
    kinds = {name: kind for kind in CONFIGS for name in CONFIGS[kind]}
    rows, failed = [], []
    for name in names:
        try:
            cfg, compared = check_config(name)
        except Exception:
            traceback.print_exc()
            failed.append(name)
            continue
        neck = cfg.model.get('neck') or dict(type='none')
        necks = neck if isinstance(neck, list) else [neck]
        values = (
            name,
            kinds.get(name, 'other'),
            cfg.model.backbone.type,
            ' + '.join(one['type'] for one in necks),
            compared.layers,
            'float64' if name in IN_DOUBLE else 'float32',
            f'{compared.features:.1e}',
            f'{compared.heads:.1e}',
            date.today(),
            torch.__version__,
        )
        rows.append(dict(zip(COLUMNS, values)))
        # A NaN counts as a difference.
        if not max(compared[1:]) < TOLERANCE or compared.heads != (
            compared.heads
        ):
            failed.append(name)
        print(
            f'{name}: {compared.layers} layers, features '
            f'{compared.features:.1e}, heads {compared.heads:.1e}',
            flush=True,
        )
    return rows, failed


def main() -> None:
    """Compare all detectors, and fail if one differs."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'configs',
        nargs='*',
        default=[name for names in CONFIGS.values() for name in names],
        help="paths below MMDetection's configs; default: one of each family",
    )
    parser.add_argument('--out', type=Path, help='CSV file to write')
    args = parser.parse_args()
    register_all_modules()
    rows, failed = run(args.configs)
    if args.out:
        with args.out.open('w', newline='') as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator='\n')
            writer.writeheader()
            writer.writerows(rows)
        args.out.with_suffix('.json').write_text(
            json.dumps(summarise(rows), indent=1) + '\n'
        )
    print(f'{len(rows)} detectors compared')
    if failed:
        sys.exit(f'failed, or more than {TOLERANCE} apart: {failed}')


if __name__ == '__main__':
    main()
