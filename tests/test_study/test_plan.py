import re
from pathlib import Path

import pytest
from mmengine.config import Config

from sge_mmdet.datasets import DigitsOptions, make_digits
from sge_mmdet.study import plan_study

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
PLAIN = 'faster-rcnn_r50-w16_fpn_400i_digits.py'
SGE = 'faster-rcnn_r50-w16-sge_fpn_400i_digits.py'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'digits'
    make_digits(root, DigitsOptions(train_images=1, val_images=1,
                                    image_size=64, min_digit=8, max_digit=20,
                                    max_objects=3))
    return root


def options(data):
    truth = str(data / 'annotations/val.json')
    return {'train_dataloader.dataset.data_root': f'{data}/',
            'test_dataloader.dataset.data_root': f'{data}/',
            'test_evaluator.ann_file': truth}


def plan(data, work_dir, configs=(PLAIN, SGE), seeds=(0, 1), **kwargs):
    kwargs.setdefault('options', options(data))
    return plan_study([DEMO / name for name in configs], seeds, work_dir,
                      **kwargs)


def test_plan_has_every_config_with_every_seed(data, tmp_path):
    runs = plan(data, tmp_path, names=['plain', 'SGE'])
    assert [(run.name, run.seed) for run in runs] == [
        ('plain', 0), ('SGE', 0), ('plain', 1), ('SGE', 1)]
    assert len({run.work_dir for run in runs}) == 4
    for run in runs:
        cfg = Config.fromfile(run.config)
        assert cfg.randomness.seed == run.seed
        assert cfg.test_evaluator.type == 'SmallObjectMetric'
        assert cfg.custom_imports.imports == ['sge_mmdet']
        assert cfg.model.backbone.type == (
            'ResNet' if run.name == 'plain' else 'SGEResNet')
        assert not run.is_done


def test_planning_again_is_the_same_and_more_seeds_can_follow(data,
                                                              tmp_path):
    first = plan(data, tmp_path, configs=[SGE])
    assert first == plan(data, tmp_path, configs=[SGE], seeds=(0, 1, 2))[:2]


def test_results_of_another_config_are_not_taken_for_its_own(data, tmp_path):
    plan(data, tmp_path, configs=[SGE])
    other = dict(options(data), **{'optim_wrapper.optimizer.lr': 0.123})
    with pytest.raises(ValueError, match=r'another config') as caught:
        plan(data, tmp_path, configs=[SGE], options=other)
    assert '+     optimizer=dict(lr=0.123' in str(caught.value)
    assert 'remove it to train again' in str(caught.value)


@pytest.mark.parametrize('change, words', [
    (dict(configs=[]), 'configs that differ, got none'),
    (dict(configs=[SGE, SGE]), 'configs that differ'),
    (dict(seeds=[1, 1]), 'seeds that differ, got 1, 1'),
    (dict(names=['a']), 'one name a config'),
    (dict(names=['a', 'a']), 'names that differ'),
    (dict(metric='segm'), r'metric is bbox, without segm'),
    (dict(options={}), 'There is no folder data/digits'),
])
def test_plan_that_cannot_run_is_refused(data, tmp_path, monkeypatch, change,
                                         words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        plan(data, tmp_path / 'study', **change)
    assert not (tmp_path / 'study').exists()


@pytest.mark.parametrize('option, value, words', [
    ('model.backbone.sge.groups', 5, r'sge_fpn.*5'),
    ('test_evaluator.type', 'VOCMetric', 'got VOCMetric'),
    ('test_evaluator.ann_file', None, 'with ann_file'),
])
def test_config_that_cannot_be_studied_is_named(data, tmp_path, option, value,
                                                words):
    changed = dict(options(data), **{option: value})
    with pytest.raises(ValueError, match=words):
        plan(data, tmp_path, configs=[SGE], options=changed)
    assert not list(tmp_path.iterdir())


def test_missing_config_and_odd_folder_are_named(data, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no config .*none\.py'):
        plan(data, tmp_path, configs=['none.py'])
    with pytest.raises(ValueError, match=re.escape('a,b')):
        plan(data, tmp_path / 'a,b')


def test_configs_with_other_test_data_are_not_compared(data, tmp_path):
    other = tmp_path / 'other.py'
    other.write_text(
        f"_base_ = {str(DEMO / PLAIN)!r}\n"
        f"train_dataloader = dict(dataset=dict(data_root='{data}/'))\n"
        f"test_dataloader = dict(dataset=dict(data_root='{data}/'))\n"
        f"test_evaluator = dict(ann_file='{data}/annotations/train.json')\n")
    one = tmp_path / 'one.py'
    one.write_text(other.read_text().replace('train.json', 'val.json'))
    with pytest.raises(ValueError, match='same test data'):
        plan_study([one, other], [0], tmp_path / 'study')
