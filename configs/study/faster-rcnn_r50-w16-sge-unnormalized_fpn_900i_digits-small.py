_base_ = './faster-rcnn_r50-w16-sge_fpn_900i_digits-small.py'

# The similarity goes to the gate as it is (the paper's ablation).
model = dict(backbone=dict(sge=dict(normalize=False)))
