# A detector that learns to the end within minutes on one CPU core: few
# channels everywhere, few proposals. The learning rate falls in the third
# quarter and stays low in the last. It was chosen for this config, which has
# no attention, before the study (docs/study-protocol.md).
_base_ = '../demo/faster-rcnn_r50-w16_fpn_400i_digits.py'

model = dict(
    neck=dict(out_channels=32),
    rpn_head=dict(in_channels=32, feat_channels=32),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=32),
        bbox_head=dict(in_channels=32)),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=200, max_per_img=60),
        rcnn=dict(sampler=dict(num=32))),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=60)))

# All digits are small: tools/make_digits.py --out data/digits_small
#     --train-images 1000 --val-images 400 --image-size 128
#     --min-digit 7 --max-digit 40 --max-objects 9
data_root = 'data/digits_small/'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    # No flip: a mirrored digit is no digit.
    dict(type='PackDetInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor'))
]
# Several trainings share the cores, so none has processes that load data.
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=20,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator

max_iters = 900
train_cfg = dict(
    max_iters=max_iters,
    val_begin=max_iters * 3 // 4,
    val_interval=max_iters // 4)
optim_wrapper = dict(optimizer=dict(lr=1e-3, fused=True))
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
default_hooks = dict(checkpoint=dict(interval=300, max_keep_ckpts=1))
# Random numbers by seed and iteration alone, whatever attention there is.
custom_hooks = [dict(type='ExactResumeHook')]
