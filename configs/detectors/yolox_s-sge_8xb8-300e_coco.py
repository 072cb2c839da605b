_base_ = 'mmdet::yolox/yolox_s_8xb8-300e_coco.py'

custom_imports = dict(imports=['sge_mmdet'])
model = dict(backbone=dict(type='SGECSPDarknet', sge=dict(preserve=True)))
