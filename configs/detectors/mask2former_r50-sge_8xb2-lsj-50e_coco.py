_base_ = 'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py'

custom_imports = dict(imports=['sge_mmdet'])
model = dict(backbone=dict(type='SGEResNet', sge=dict(preserve=True)))
