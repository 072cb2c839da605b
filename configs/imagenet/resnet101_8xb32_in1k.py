_base_ = 'mmpretrain::resnet/resnet101_8xb32_in1k.py'

# The authors start every norm from 1.
model = dict(backbone=dict(zero_init_residual=False))
auto_scale_lr = dict(enable=False)
