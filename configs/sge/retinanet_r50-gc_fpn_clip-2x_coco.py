_base_ = './retinanet_r50_fpn_clip-2x_coco.py'

custom_imports = dict(imports=['sge_mmdet'])
attention = dict(
    cfg=dict(type='ContextBlock', ratio=1 / 16), position='after_conv3')
model = dict(backbone=dict(plugins=[attention]))
