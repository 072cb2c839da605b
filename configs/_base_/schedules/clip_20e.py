# As clip_2x.py, but 20 epochs, for Cascade R-CNN.
_base_ = './clip_2x.py'

train_cfg = dict(max_epochs=20)
_base_.param_scheduler[1].update(end=20, milestones=[16, 19])
