#!/usr/bin/env python3
"""Count the parameters and GFLOPs that SGE adds to each family of backbones.

``--out docs/results`` writes ``family_costs.json``, which ``make figures``
renders. Nothing is computed: the backbones are counted on the meta device.
"""

import argparse
import json
import warnings
from datetime import date
from pathlib import Path
from typing import List

import torch
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm

from sge_mmdet import add_sge
from sge_mmdet.analysis import count_flops, count_parameters
from sge_mmdet.conversion.parts import build_without_weights
from sge_mmdet.utils import quiet_log, upstream_path

# A config of each family of backbones.
CONFIGS = (
    'retinanet/retinanet_r50_fpn_1x_coco.py',
    'faster_rcnn/faster-rcnn_x101-32x4d_fpn_1x_coco.py',
    'res2net/faster-rcnn_res2net-101_fpn_2x_coco.py',
    'regnet/faster-rcnn_regnetx-3.2GF_fpn_1x_coco.py',
    'resnest/faster-rcnn_s50_fpn_syncbn-backbone+head_ms-range-1x_coco.py',
    'hrnet/faster-rcnn_hrnetv2p-w18-1x_coco.py',
    'hrnet/faster-rcnn_hrnetv2p-w32-1x_coco.py',
    'rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
    'rtmdet/rtmdet_l_8xb32-300e_coco.py',
    'yolox/yolox_tiny_8xb8-300e_coco.py',
    'yolox/yolox_s_8xb8-300e_coco.py',
    'yolo/yolov3_d53_8xb8-320-273e_coco.py',
    'ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py',
    'efficientnet/retinanet_effb3_fpn_8xb4-crop896-1x_coco.py',
    'cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py',
    'convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py',
    'swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py',
    'pvt/retinanet_pvt-t_fpn_1x_coco.py',
    'pvt/retinanet_pvtv2-b0_fpn_1x_coco.py',
    'ssd/ssd300_coco.py',
)
SIZE = 640


def count(name: str) -> List[str]:
    """Return the row of a config.

    Args:
        name (str): Path below MMDetection's ``configs``.
    """
    cfg = Config.fromfile(upstream_path('configs', name))
    with quiet_log():
        new = add_sge(cfg)
    image = torch.empty(1, 3, SIZE, SIZE, device='meta')
    figures = []
    for backbone in (cfg.model.backbone, new.model.backbone):
        model = revert_sync_batchnorm(build_without_weights(backbone))
        figures.append((count_parameters(model), count_flops(model, image)))
    (params, flops), (more_params, more_flops) = figures
    return [
        f'`{Path(name).stem}`',
        f'`{new.model.backbone.type.rpartition(".")[2]}`',
        f'{params / 1e6:.2f} M',
        f'{more_params - params:,}',
        f'{flops / 1e9:.2f}',
        f'{(more_flops - flops) / 1e9:.3f}',
        f'{100 * (more_flops - flops) / flops:.2f} %',
    ]


def main() -> None:
    """Print the table as JSON, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, help='folder of the results')
    args = parser.parse_args()
    register_all_modules()
    warnings.simplefilter('ignore')
    rows = []
    for name in CONFIGS:
        try:
            rows.append(count(name))
        except (ImportError, RuntimeError) as error:
            # MMPretrain and its torchvision are optional.
            print(f'left out: {name}: {error}')
    result = dict(
        what='Parameters and GFLOPs that SGE adds to the backbones of '
        f"MMDetection's families at {SIZE} x {SIZE} pixels; operations are "
        'counted as by the paper',
        command='tools/dev/family_costs.py --out docs/results',
        date=date.today().isoformat(),
        hardware='none, counted',
        versions='as pinned in requirements/environment.txt (torch '
        f'{torch.__version__.partition("+")[0]}, mmcv 2.1.0, mmdet 3.3.0)',
        columns=[
            'config',
            'backbone with SGE',
            'parameters',
            'added by SGE',
            'GFLOPs',
            'added by SGE',
            'in per cent',
        ],
        rows=rows,
    )
    text = json.dumps(result, indent=1, ensure_ascii=False)
    print(text)
    if args.out:
        Path(args.out, 'family_costs.json').write_text(f'{text}\n')


if __name__ == '__main__':
    main()
