_base_ = './faster-rcnn_r50_fpn_clip-2x_coco.py'

custom_imports = dict(imports=['sge_mmdet'])
model = dict(
    backbone=dict(
        type='SGEResNet',
        init_cfg=dict(checkpoint='checkpoints/sge_resnet50.pth')))
