# The detector of the study, fine-tuned: its backbone has learned to classify
# larger digits (tools/dev/pretrain_on_crops.py data/digits_crops
#     data/r50-w16_crops.pth), as others start from ImageNet's weights. The
# scans and photographs of the test are in neither training.
_base_ = './faster-rcnn_r50-w16_fpn_900i_digits-small.py'

model = dict(
    backbone=dict(
        init_cfg=dict(
            _delete_=True,
            type='Pretrained',
            checkpoint='data/r50-w16_crops.pth')))

optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
max_iters = 600
train_cfg = dict(
    max_iters=max_iters,
    val_begin=max_iters * 3 // 4,
    val_interval=max_iters // 4)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR',
        by_epoch=False,
        begin=max_iters // 2,
        end=max_iters * 3 // 4,
        T_max=max_iters // 4,
        eta_min_ratio=0.02)
]
