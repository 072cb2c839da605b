# The recipe of the paper's authors: MMDetection's 2x with gradients clipped
# and a warm-up that starts at a third of the learning rate.
_base_ = 'mmdet::_base_/schedules/schedule_2x.py'

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1 / 3,
        by_epoch=False,
        begin=0,
        end=500),
    dict(
        type='MultiStepLR',
        begin=0,
        end=24,
        by_epoch=True,
        milestones=[16, 22],
        gamma=0.1)
]
optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
