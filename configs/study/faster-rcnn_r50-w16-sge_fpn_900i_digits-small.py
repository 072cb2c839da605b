_base_ = './faster-rcnn_r50-w16_fpn_900i_digits-small.py'

custom_imports = dict(imports=['sge_mmdet'])
# Four channels a group in the first stage, as 64 groups have in ResNet-50.
model = dict(backbone=dict(type='SGEResNet', sge=dict(groups=16)))
