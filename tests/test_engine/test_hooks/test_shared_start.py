import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from sge_mmdet.engine.hooks import SharedStartHook
from sge_mmdet.utils import load_config
from tests.helpers.tiny_run import write_tiny_run

PLAIN = 'faster-rcnn_r50-w16_fpn_400i_digits.py'
SQUEEZE = 'faster-rcnn_r50-w16-se_fpn_400i_digits.py'
EXTRA = 'train_cfg = dict(max_iters=1, val_interval=9)\n'


class Stop(Exception):
    """Ends a training before its first iteration."""


class Keep(Hook):
    """Keeps the weights that a training starts with."""

    priority = 'LOWEST'

    def before_train(self, runner):
        raise Stop(
            {
                name: value.clone()
                for name, value in runner.model.state_dict().items()
            }
        )


def start(config: Config, work_dir):
    config.work_dir = str(work_dir)
    config.runner_type = 'Runner'
    runner = Runner.from_cfg(config)
    runner.register_hook(Keep())
    with pytest.raises(Stop) as stop:
        runner.train()
    (weights,) = stop.value.args
    return weights


def configs(tmp_path):
    made = []
    for name, base in ('plain', PLAIN), ('se', SQUEEZE):
        (tmp_path / name).mkdir()
        path = write_tiny_run(tmp_path / name, EXTRA, base=base)
        made.append(load_config(path))
    return made


def test_weights_outside_the_attention_start_the_same(tmp_path):
    plain, squeeze = configs(tmp_path)
    apart = start(squeeze.copy(), tmp_path / 'a')
    hook = dict(type='SharedStartHook', model=plain.model.to_dict())
    plain.custom_hooks = squeeze.custom_hooks = [hook]
    want = start(plain, tmp_path / 'b')
    got = start(squeeze, tmp_path / 'c')
    name = 'backbone.layer4.0.conv1.weight'
    assert not torch.equal(apart[name], want[name])
    for name, value in want.items():
        torch.testing.assert_close(got[name], value, rtol=0, atol=0)
    # The attention's own weights are those it would have had.
    new = set(got) - set(want)
    assert new and all(torch.equal(got[name], apart[name]) for name in new)


def test_other_seeds_have_other_starts(tmp_path):
    plain, _ = configs(tmp_path)
    plain.custom_hooks = [
        dict(type='SharedStartHook', model=plain.model.to_dict())
    ]
    name = 'backbone.layer4.0.conv1.weight'
    starts = []
    for seed in 0, 0, 1:
        plain.randomness = dict(seed=seed)
        starts.append(start(plain.copy(), tmp_path / 'run')[name])
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])


def test_models_without_common_weights_are_refused(tmp_path):
    plain, _ = configs(tmp_path)
    other = dict(type='mmdet.SSDVGG', depth=11, out_feature_indices=(22,))
    plain.custom_hooks = [dict(type='SharedStartHook', model=other)]
    plain.work_dir = str(tmp_path / 'run')
    runner = Runner.from_cfg(plain)
    with pytest.raises(ValueError, match='no weights of the names'):
        runner.train()


def test_resumed_training_is_left_as_it_is():
    class Resumed:
        iter = 3

    SharedStartHook(model=dict(type='nothing')).before_train(Resumed())
