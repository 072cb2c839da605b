#!/usr/bin/env python3
"""Export detectors with SGE to ONNX and hold them against MMDetection.

Configs of MMDetection get SGE and random weights and norm statistics, are
exported, and run by onnxruntime at other sizes and batches. Each must be
exported to the part that it is known to be exported to.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Tuple

import numpy as np
from check_conversions import draw_weights_and_statistics
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from sge_mmdet import add_sge
from sge_mmdet.deployment import (
    PARTS,
    TOLERANCE,
    DeployedPart,
    check_onnx,
    export_onnx,
)
from sge_mmdet.utils import quiet_log, upstream_path
from sge_mmdet.utils.tables import Table

SHAPES = ((1, 320, 448), (3, 213, 160))
# Config, the largest part that is exported, and where SGE is.
DETECTORS = {
    'RetinaNet R-50': (
        'retinanet/retinanet_r50_fpn_1x_coco.py',
        'detector',
        'backbone',
    ),
    'RetinaNet R-50, SGE behind the FPN': (
        'retinanet/retinanet_r50_fpn_1x_coco.py',
        'detector',
        'neck',
    ),
    'Faster R-CNN R-50': (
        'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
        'detector',
        'backbone',
    ),
    'Faster R-CNN R-50, SGE behind the FPN': (
        'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
        'detector',
        'neck',
    ),
    'Mask R-CNN R-50': (
        'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
        'detector',
        'backbone',
    ),
    'Cascade R-CNN R-50': (
        'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py',
        'detector',
        'backbone',
    ),
    'Cascade Mask R-CNN R-50': (
        'cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py',
        'detector',
        'backbone',
    ),
    'RPN R-50': ('rpn/rpn_r50_fpn_1x_coco.py', 'detector', 'backbone'),
    'FCOS R-50': (
        'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
        'detector',
        'backbone',
    ),
    'ATSS R-50': ('atss/atss_r50_fpn_1x_coco.py', 'detector', 'backbone'),
    'FreeAnchor R-50': (
        'free_anchor/freeanchor_r50_fpn_1x_coco.py',
        'detector',
        'backbone',
    ),
    'FSAF R-50': ('fsaf/fsaf_r50_fpn_1x_coco.py', 'heads', 'backbone'),
    'Faster R-CNN R-50, PAFPN': (
        'pafpn/faster-rcnn_r50_pafpn_1x_coco.py',
        'detector',
        'backbone',
    ),
    'GFL R-50': ('gfl/gfl_r50_fpn_1x_coco.py', 'heads', 'backbone'),
    'PAA R-50': ('paa/paa_r50_fpn_1x_coco.py', 'heads', 'backbone'),
    'YOLOF R-50': (
        'yolof/yolof_r50-c5_8xb8-1x_coco.py',
        'detector',
        'backbone',
    ),
    'Deformable DETR R-50': (
        'deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
        'backbone',
        'backbone',
    ),
}


def check(
    config: str, part: str, where: str, folder: str
) -> Tuple[int, float]:
    """Export a config's detector; return its values and the difference."""
    cfg = Config.fromfile(upstream_path('configs', config))
    with quiet_log():
        model = MODELS.build(add_sge(cfg, where=where).model)
    draw_weights_and_statistics(model)
    for name, parameter in model.named_parameters():
        if name.endswith('_cls.weight') and not name.endswith('fc_cls.weight'):
            # Scores of 1 are all equal, and any order of them is right.
            parameter.data *= 0.05
    for larger in PARTS[PARTS.index(part) + 1 :]:
        try:
            DeployedPart(model, larger)
        except NotImplementedError as error:
            print(f'{larger}: {error}', flush=True)
    file = Path(folder, 'model.onnx')
    checks = check_onnx(
        file, export_onnx(model, file, part, overwrite=True), SHAPES
    )
    assert all(check.values for check in checks), checks
    return (
        sum(check.values for check in checks),
        float(np.max([check.difference for check in checks])),
    )


def main() -> None:
    """Check the detectors that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'names',
        nargs='*',
        default=[],
        help=f'of {", ".join(DETECTORS)}; default: all',
    )
    args = parser.parse_args()
    register_all_modules()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.names or DETECTORS:
            start = time.monotonic()
            config, part, where = DETECTORS[name]
            values, difference = check(config, part, where, folder)
            rows.append(
                (name, config, where, part, values, f'{difference:.1e}')
            )
            print(*rows[-1], f'{time.monotonic() - start:.0f} s', flush=True)
    print(
        Table(
            ('detector', 'config', 'SGE in', 'part', 'values', 'difference'),
            rows,
        ).markdown()
    )
    if any(not float(row[-1]) <= TOLERANCE for row in rows):
        sys.exit(f'error: a difference is above {TOLERANCE}')


if __name__ == '__main__':
    main()
