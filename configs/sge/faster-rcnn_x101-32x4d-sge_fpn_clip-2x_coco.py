_base_ = './faster-rcnn_x101-32x4d_fpn_clip-2x_coco.py'

custom_imports = dict(imports=['sge_mmdet'])
model = dict(backbone=dict(type='SGEResNeXt'))
