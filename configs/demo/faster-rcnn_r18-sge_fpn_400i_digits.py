_base_ = './faster-rcnn_r18_fpn_400i_digits.py'
custom_imports = dict(imports=['sge_mmdet'])

model = dict(backbone=dict(type='SGEResNet'))
