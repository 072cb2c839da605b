_base_ = './faster-rcnn_r50-w16_fpn_900i_digits-small.py'

custom_imports = dict(imports=['sge_mmdet'])
attention = dict(cfg=dict(type='SE'), position='after_conv3')
model = dict(backbone=dict(plugins=[attention]))
