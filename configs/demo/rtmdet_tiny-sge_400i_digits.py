_base_ = './rtmdet_tiny_400i_digits.py'
custom_imports = dict(imports=['sge_mmdet'])

model = dict(backbone=dict(type='SGECSPNeXt', sge=dict(groups=16)))
