_base_ = './retinanet_r50_fpn_clip-2x_coco.py'

custom_imports = dict(imports=['sge_mmdet'])
model = dict(backbone=dict(type='BAMResNet'))
