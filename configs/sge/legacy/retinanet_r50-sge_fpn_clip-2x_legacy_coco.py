# Evaluates a converted checkpoint of the paper's authors as it was trained:
# boxes that end at their last pixel.
_base_ = '../retinanet_r50-sge_fpn_clip-2x_coco.py'

model = dict(
    backbone=dict(init_cfg=None),
    bbox_head=dict(
        anchor_generator=dict(type='LegacyAnchorGenerator', center_offset=0.5),
        bbox_coder=dict(type='StrictLegacyDeltaXYWHBBoxCoder')),
    test_cfg=dict(nms=dict(offset=1), min_bbox_size=-1))
val_evaluator = dict(type='LegacyCocoMetric')
test_evaluator = dict(type='LegacyCocoMetric')
