_base_ = 'mmdet::rtmdet/rtmdet_m_8xb32-300e_coco.py'

custom_imports = dict(imports=['sge_mmdet'])
model = dict(backbone=dict(type='SGECSPNeXt', sge=dict(preserve=True)))
