_base_ = './faster-rcnn_r50-w16_fpn_600i_bccd.py'

custom_imports = dict(imports=['sge_mmdet'])
model = dict(backbone=dict(type='SGEResNet', sge=dict(groups=16)))
