_base_ = './faster-rcnn_r50-w16-sge_fpn_finetune-600i_digits-small.py'

# New layers begin as the identity.
model = dict(backbone=dict(sge=dict(preserve=True)))
