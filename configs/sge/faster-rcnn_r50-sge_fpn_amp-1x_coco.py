_base_ = './faster-rcnn_r50-sge_fpn_1x_coco.py'

optim_wrapper = dict(type='AmpOptimWrapper')
