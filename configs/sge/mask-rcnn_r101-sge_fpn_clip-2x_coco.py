_base_ = './mask-rcnn_r101_fpn_clip-2x_coco.py'

custom_imports = dict(imports=['sge_mmdet'])
model = dict(
    backbone=dict(
        type='SGEResNet',
        init_cfg=dict(checkpoint='checkpoints/sge_resnet101.pth')))
