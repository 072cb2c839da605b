_base_ = '../faster-rcnn_r50-sge_fpn_1x_coco.py'

model = dict(backbone=dict(sge_stages=(False, False, True, True)))
