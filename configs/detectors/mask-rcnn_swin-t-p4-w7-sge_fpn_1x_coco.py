_base_ = 'mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py'

custom_imports = dict(imports=['sge_mmdet'])
model = dict(backbone=dict(type='SGESwinTransformer', sge=dict(preserve=True)))
