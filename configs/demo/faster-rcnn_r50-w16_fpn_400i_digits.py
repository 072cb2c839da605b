# A ResNet-50 of a quarter of the width: its blocks take any attention, and it
# trains in less time than a ResNet-18.
_base_ = './faster-rcnn_r18_fpn_400i_digits.py'

model = dict(backbone=dict(depth=50, base_channels=16))
