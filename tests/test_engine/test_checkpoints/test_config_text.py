"""Config text in checkpoints; see docs/security.md."""

import pytest
import torch
from mmengine.config import Config

from sge_mmdet.engine import load_local_checkpoint
from sge_mmdet.engine.checkpoints.config_text import harmless_text
from sge_mmdet.engine.checkpoints.refusal import Refused
from tests.helpers.tiny_run import write_tiny_run


@pytest.mark.parametrize(
    'text',
    [
        "a = f'{1}'",
        'a = dict(**{})',
        'a = [x for x in y]',
        'import os',
        'def f():\n    pass',
        'a.b = 1',
        'a = b',
        "_base_ = 'x.py'",
        'a = 1; b=1',
        "a = ['{{$N:x', '}}+exit()+{{$M:x', '}}']",
        'a = ' + '-' * 10**5 + '1',
        'a = ' + '[' * 10**5,
        'a = 1 if 2 else 3',
        "a = dict('x')",
        'a = {1}',
        "a = 'x' * 10**9",
        '#' * 10**6,
        "a = b'bytes'",
        'a = [' + '0,' * 10**5 + ']',
        'a = 1\r__import__("os")',
    ],
    ids=lambda text: text[:20],
)
def test_config_text_that_is_more_than_data_is_refused(text):
    with pytest.raises(Refused, match=r'its config') as refused:
        harmless_text(text)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    'name',
    [
        'os.system',
        'subprocess.Popen',
        'torch.hub.load',
        'antigravity',
        'mmengine.fileio.load',
        'mmdet.datasets.RefCocoDataset',
        'antigravity.',
        'mmengine.runner.Runner',
        'mmengine.config.Config.fromfile',
        'nowhere.Model',
        'getattr(0)',
        'eval',
        'os',
        'mmseg.a or f()',
        'Nothing',
        'SGENothing',
        'SGEos.system',
    ],
)
def test_types_that_no_registry_holds_are_left_out_of_a_config(name):
    text, left_out = harmless_text(
        f'a = 1\nmodel = dict(\n    neck=[dict(type={name!r})])\nb = 2'
    )
    assert text == 'a = 1\n\n\nb = 2'
    assert left_out == [f'model (line 2: type {name} is not registered)']


@pytest.mark.parametrize(
    'value',
    [
        "warp_mode='f()'",
        "warp_mode='cv2.MOTION_AFFINE or f()'",
        "dtype='float or f()'",
        "resize_type='os.system'",
        "ema_type='os'",
        'trust_remote_code=True',
        "policies=[('os.system', 1)]",
        "tag_list_file='a'",
        "default_scope='antigravity'",
    ],
)
def test_values_that_a_package_evaluates_or_imports_are_left_out(value):
    text, (left_out,) = harmless_text(f'a = 1\nmodel = dict(b=dict({value}))')
    assert text == 'a = 1\n' and left_out.startswith('model (line 2: ')


@pytest.mark.parametrize(
    'text',
    [
        "model = dict(type='mmdet.models.FasterRCNN', neck=dict(type='FPN'))",
        "model = dict(type='SGECSPNeXt', a=dict(type='SGERetinaHead'))",
        "optimizer = dict(type='torch.optim.sgd.SGD', lr=-1.0e-5)",
        "test_dataloader = dict(dataset=dict(type='CocoDataset', "
        "ann_file='a'))",
        "custom_imports = dict(imports=['sge_mmdet'])",
        "a = dict(b=dict(type='RoIAlign'), nms=dict(type='soft_nms'))",
        "a = dict(type='AmpOptimWrapper', dtype='float16', loss_type='l1')",
        "cmc = dict(warp_mode='cv2.MOTION_EUCLIDEAN')",
        "a = dict(resize_type='Resize', trust_remote_code=False, f='a.json')",
        "a = dict(b=(1, None, [True]), c={'x-y': inf})",
    ],
)
def test_configs_as_mmengine_writes_them_stay_as_they_are(text):
    assert harmless_text(text) == (text, [])


def test_config_of_the_demo_stays_in_its_checkpoint_as_it_is(tmp_path):
    text = Config.fromfile(write_tiny_run(tmp_path)).pretty_text
    torch.save(dict(state_dict={}, meta=dict(cfg=text)), tmp_path / 'a.pth')
    loaded = load_local_checkpoint(tmp_path / 'a.pth')
    assert loaded['meta']['cfg'] == text


def test_config_text_of_before_mmengine_does_not_keep_weights_back(tmp_path):
    path = tmp_path / 'a.pth'
    text = (
        '/a/b.py\n# model\nimport os\nx = 3\nmodel = dict(a=x * 2)\n'
        "b = [f'{i}' for i in range(x)]\n"
    )
    torch.save(dict(state_dict={}, meta=dict(config=text)), path)
    assert load_local_checkpoint(path)['meta'] == {}
    # What MMEngine can resume from, and whose text it therefore executes.
    torch.save(
        dict(state_dict={}, meta=dict(config=text), message_hub={}), path
    )
    with pytest.raises(RuntimeError, match=r'line \d of its config'):
        load_local_checkpoint(path)
