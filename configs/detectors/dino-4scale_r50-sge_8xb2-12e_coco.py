_base_ = 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'

custom_imports = dict(imports=['sge_mmdet'])
model = dict(backbone=dict(type='SGEResNet', sge=dict(preserve=True)))
