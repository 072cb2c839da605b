_base_ = './faster-rcnn_r50-w16-sge_fpn_400i_digits.py'

optim_wrapper = dict(type='BFloat16OptimWrapper')
