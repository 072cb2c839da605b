_base_ = './resnet50_8xb32_in1k.py'

custom_imports = dict(imports=['sge_mmdet'])
model = dict(backbone=dict(type='mmdet.SGEResNet', norm_eval=False))
