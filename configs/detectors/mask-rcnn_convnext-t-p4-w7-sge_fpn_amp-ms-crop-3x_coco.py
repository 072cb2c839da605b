_base_ = 'mmdet::convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py'  # noqa: E501

custom_imports = dict(imports=['mmpretrain.models', 'sge_mmdet'])
model = dict(
    backbone=dict(type='SGEConvNeXt', sge=dict(preserve=True)))
