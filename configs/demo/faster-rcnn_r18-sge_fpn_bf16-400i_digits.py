_base_ = './faster-rcnn_r18-sge_fpn_400i_digits.py'

optim_wrapper = dict(type='BFloat16OptimWrapper')
