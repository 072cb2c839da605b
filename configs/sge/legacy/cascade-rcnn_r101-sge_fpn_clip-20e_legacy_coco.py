_base_ = './cascade-rcnn_r50-sge_fpn_clip-20e_legacy_coco.py'

model = dict(backbone=dict(depth=101))
