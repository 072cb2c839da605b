_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'

custom_imports = dict(imports=['sge_mmdet'])
model = dict(
    backbone=dict(plugins=[
        dict(cfg=dict(type='SGE', groups=64), position='after_conv2')
    ]))
