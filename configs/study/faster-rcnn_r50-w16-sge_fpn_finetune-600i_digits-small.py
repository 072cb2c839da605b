_base_ = './faster-rcnn_r50-w16_fpn_finetune-600i_digits-small.py'

custom_imports = dict(imports=['sge_mmdet'])
# New layers begin as scale 0 and shift 1, which multiplies by 0.73.
model = dict(backbone=dict(type='SGEResNet', sge=dict(groups=16)))
