_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    '../_base_/schedules/clip_2x.py', 'mmdet::_base_/default_runtime.py'
]

model = dict(test_cfg=dict(rpn=dict(nms_pre=2000, max_per_img=2000)))
