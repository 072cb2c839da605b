#!/usr/bin/env python3
"""Export detectors with SGE to ONNX and hold them against MMDetection.

Configs of MMDetection get SGE and random weights and norm statistics, are
exported, and run by onnxruntime at other sizes and batches.
"""
import argparse
import sys
import tempfile
import time
from pathlib import Path

from check_conversions import draw_weights_and_statistics
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from sge_mmdet import add_sge
from sge_mmdet.deployment import TOLERANCE, check_onnx, export_onnx
from sge_mmdet.utils import quiet_log, stock_path
from sge_mmdet.utils.tables import Table

SHAPES = ((1, 320, 448), (3, 213, 160))
DETECTORS = {
    'RetinaNet R-50': 'retinanet/retinanet_r50_fpn_1x_coco.py',
    'Faster R-CNN R-50': 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'Mask R-CNN R-50': 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    'Cascade R-CNN R-50': 'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py',
    'Cascade Mask R-CNN R-50':
    'cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py',
    'FCOS R-50': 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    'ATSS R-50': 'atss/atss_r50_fpn_1x_coco.py',
    'FreeAnchor R-50': 'free_anchor/freeanchor_r50_fpn_1x_coco.py',
    'FSAF R-50': 'fsaf/fsaf_r50_fpn_1x_coco.py',
    'Faster R-CNN R-50, PAFPN':
    'pafpn/faster-rcnn_r50_pafpn_1x_coco.py',
    'GFL R-50': 'gfl/gfl_r50_fpn_1x_coco.py',
    'PAA R-50': 'paa/paa_r50_fpn_1x_coco.py',
    'YOLOF R-50': 'yolof/yolof_r50-c5_8xb8-1x_coco.py',
    'Deformable DETR R-50':
    'deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
}


def check(config: str, folder: str) -> tuple:
    """Export a config's detector; return the part, boxes and difference."""
    cfg = Config.fromfile(stock_path('configs', config))
    with quiet_log():
        model = MODELS.build(add_sge(cfg).model)
    draw_weights_and_statistics(model)
    for name, parameter in model.named_parameters():
        if name.endswith('_cls.weight') and not name.endswith('fc_cls.weight'):
            # Scores of 1 are all equal, and any order of them is right.
            parameter.data *= 0.05
    for part in ('detector', 'heads', 'backbone'):
        try:
            file = Path(folder, 'model.onnx')
            deployed = export_onnx(model, file, part, overwrite=True)
        except NotImplementedError as error:
            print(f'{part}: {error}', flush=True)
            continue
        checks = check_onnx(file, deployed, SHAPES)
        assert all(check.values for check in checks), checks
        return (part, sum(check.values for check in checks),
                max(check.difference for check in checks))
    raise AssertionError('a backbone can always be exported')


def main() -> None:
    """Check the detectors that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('names', nargs='*', default=[],
                        help=f'of {", ".join(DETECTORS)}; default: all')
    args = parser.parse_args()
    register_all_modules()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.names or DETECTORS:
            start = time.monotonic()
            part, values, difference = check(DETECTORS[name], folder)
            rows.append((name, DETECTORS[name], part, values,
                         f'{difference:.1e}'))
            print(*rows[-1], f'{time.monotonic() - start:.0f} s', flush=True)
    print(Table(('detector', 'config', 'part', 'values', 'difference'),
                rows).markdown())
    if any(not float(row[-1]) <= TOLERANCE for row in rows):
        sys.exit(f'error: a difference is above {TOLERANCE}')


if __name__ == '__main__':
    main()
