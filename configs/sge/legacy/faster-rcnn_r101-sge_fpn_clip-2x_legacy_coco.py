_base_ = './faster-rcnn_r50-sge_fpn_clip-2x_legacy_coco.py'

model = dict(backbone=dict(depth=101))
