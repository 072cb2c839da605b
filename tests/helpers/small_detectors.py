"""Detectors with SGE that are small enough to be exported in a second."""

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from sge_mmdet.utils import upstream_path

CONFIGS = {
    'retinanet': 'retinanet/retinanet_r50_fpn_1x_coco.py',
    'gfl': 'gfl/gfl_r50_fpn_1x_coco.py',
    'fcos': 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    'faster': 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'cascade mask': 'cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py',
    'rpn': 'rpn/rpn_r50_fpn_1x_coco.py',
}
BACKBONE = dict(
    type='SGEResNet',
    depth=18,
    base_channels=16,
    stem_channels=16,
    sge=dict(groups=8),
)


def small_config(name, **neck):
    """Return MMDetection's config, narrower, with three classes."""
    cfg = Config.fromfile(upstream_path('configs', CONFIGS[name]))
    model = cfg.model
    model.backbone = Config(BACKBONE)._cfg_dict
    model.neck.update(in_channels=[16, 32, 64, 128], out_channels=32, **neck)
    for head in ('bbox_head', 'rpn_head'):
        if head in model:
            model[head].update(in_channels=32, feat_channels=32)
            model[head].pop('init_cfg', None)
    if 'bbox_head' in model:
        model.bbox_head.update(num_classes=3, stacked_convs=1)
        if name in ('fcos', 'gfl'):
            # Of 32 groups, each would have a single value in a map of one.
            model.bbox_head.norm_cfg = dict(type='GN', num_groups=8)
        # Candidates are cut, and cut off where there are too many.
        model.test_cfg.update(nms_pre=60, max_per_img=20)
    else:
        model.test_cfg.rpn.update(nms_pre=40, max_per_img=30)
    if 'roi_head' in model:
        model.test_cfg.rcnn.max_per_img = 20
        roi = model.roi_head
        for part in [roi.bbox_roi_extractor, roi.get('mask_roi_extractor')]:
            if part:
                part.out_channels = 32
        heads = roi.bbox_head
        for head in heads if isinstance(heads, list) else [heads]:
            head.update(in_channels=32, fc_out_channels=32, num_classes=3)
        if 'mask_head' in roi:
            roi.mask_head.update(
                in_channels=32,
                conv_out_channels=16,
                num_convs=1,
                num_classes=3,
            )
    return cfg


def small_detector(name, **neck):
    """Return it with weights that make it find something."""
    register_all_modules()
    return with_weights(MODELS.build(small_config(name, **neck).model))


def with_weights(model):
    """Draw weights and statistics that leave their trace; return the model."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and '.sge.' not in f'.{name}':
                gain = (2 / parameter[0].numel()) ** 0.5
                parameter.normal_(0, gain, generator=generator)
            else:
                parameter.uniform_(0, 0.5, generator=generator)
            if name.endswith('_reg.weight'):
                parameter *= 0.1
        for name, value in model.named_buffers():
            if name.endswith('running_mean'):
                value.normal_(0, 0.1, generator=generator)
            if name.endswith('running_var'):
                value.uniform_(0.5, 1.5, generator=generator)
    model.eval()
    return model
