_base_ = '../faster-rcnn_r50-sge_fpn_1x_coco.py'

model = dict(
    backbone=dict(sge=dict(weight_init=0., bias_init=0.)))
