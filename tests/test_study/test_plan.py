import shutil
from pathlib import Path

import pytest
from mmengine.config import Config

from sge_mmdet.datasets import DigitsOptions, make_digits
from sge_mmdet.study import plan_study
from sge_mmdet.utils import upstream_path

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
PLAIN = 'faster-rcnn_r50-w16_fpn_400i_digits.py'
SGE = 'faster-rcnn_r50-w16-sge_fpn_400i_digits.py'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'digits'
    make_digits(
        root,
        DigitsOptions(
            train_images=1,
            val_images=1,
            image_size=64,
            min_digit=8,
            max_digit=20,
            max_objects=3,
        ),
    )
    return root


def options(data):
    ground_truth = str(data / 'annotations/val.json')
    return {
        **{
            f'{split}_dataloader.dataset.data_root': f'{data}/'
            for split in ('train', 'val', 'test')
        },
        'test_evaluator.ann_file': ground_truth,
    }


def plan(data, work_dir, configs=(PLAIN, SGE), seeds=(0, 1), **kwargs):
    kwargs.setdefault('options', options(data))
    return plan_study(
        [DEMO / name for name in configs], seeds, work_dir, **kwargs
    )


def test_plan_has_every_config_with_every_seed(data, tmp_path):
    runs = plan(data, tmp_path, names=['plain', 'SGE'])
    assert [(run.name, run.seed) for run in runs] == [
        ('plain', 0),
        ('SGE', 0),
        ('plain', 1),
        ('SGE', 1),
    ]
    assert len({run.work_dir for run in runs}) == 4
    for run in runs:
        cfg = Config.fromfile(run.config)
        assert cfg.randomness.seed == run.seed
        assert cfg.test_evaluator.type == 'SmallObjectMetric'
        assert cfg.custom_imports.imports == ['sge_mmdet']
        assert cfg.model.backbone.type == (
            'ResNet' if run.name == 'plain' else 'SGEResNet'
        )
        assert cfg.test_evaluator.outfile_prefix.startswith(str(run.work_dir))
        assert not run.is_done and run.classes == tuple('0123456789')


def test_all_configs_can_start_with_the_weights_of_the_first(data, tmp_path):
    hooks = [
        Config.fromfile(run.config).custom_hooks
        for run in plan(data, tmp_path, seeds=(0,), same_start=True)
    ]
    ((of_plain,), (of_sge,)) = hooks
    assert of_plain == of_sge and of_plain.type == 'SharedStartHook'
    assert of_plain.model.backbone.type == 'ResNet'


def test_planning_again_is_the_same_and_more_seeds_can_follow(data, tmp_path):
    first = plan(data, tmp_path, configs=[SGE])
    assert first == plan(data, tmp_path, configs=[SGE], seeds=(0, 1, 2))[:2]


def test_results_of_another_config_are_not_taken_for_its_own(data, tmp_path):
    begin(plan(data, tmp_path, configs=[SGE])[1])
    other = dict(options(data), **{'optim_wrapper.optimizer.lr': 0.123})
    with pytest.raises(ValueError, match=r'another config') as caught:
        plan(data, tmp_path, configs=[SGE], options=other)
    assert '+     optimizer=dict(lr=0.123' in str(caught.value)
    folder = tmp_path / Path(SGE).stem / 'seed_1'
    assert f'remove {folder} to train it again' in str(caught.value)
    # Nor if nobody knows which config it was.
    (tmp_path / 'configs' / f'{Path(SGE).stem}_1.py').unlink()
    with pytest.raises(ValueError, match='another config'):
        plan(data, tmp_path, configs=[SGE])
    shutil.rmtree(folder)
    plan(data, tmp_path, configs=[SGE], options=other)


def begin(run):
    run.work_dir.mkdir(parents=True)


def test_results_on_other_annotations_are_not_taken_for_its_own(
    data, tmp_path
):
    copied = tmp_path / 'digits'
    shutil.copytree(data, copied)
    begin(plan(copied, tmp_path / 'study', configs=[SGE])[0])
    plan(copied, tmp_path / 'study', configs=[SGE])
    ground_truth = copied / 'annotations' / 'val.json'
    ground_truth.write_text(ground_truth.read_text().replace('}', '} ', 1))
    with pytest.raises(ValueError, match='other test annotations'):
        plan(copied, tmp_path / 'study', configs=[SGE])


def write(data, path, more=''):
    """Write a config that can be studied, and something more."""
    lines = [f'_base_ = {str(DEMO / SGE)!r}']
    lines += [
        f"{split}_dataloader = dict(dataset=dict(data_root='{data}/'))"
        for split in ('train', 'val', 'test')
    ]
    path.write_text(
        '\n'.join(
            [
                *lines,
                f"truth = '{data}/annotations/val.json'",
                'test_evaluator = dict(ann_file=truth)',
                more,
                '',
            ]
        )
    )
    return path


@pytest.mark.parametrize(
    'more',
    [
        "test_evaluator = dict(type='mmdet.CocoMetric')",
        "test_evaluator = [dict(type='CocoMetric', ann_file=truth)]",
        "test_evaluator = dict(type='SmallObjectMetric',\n"
        "                      size_bins=[0, 16, float('inf')])",
        "custom_imports = dict(imports='sge_mmdet')",
        'val_cfg = None\nval_dataloader = None\nval_evaluator = None',
    ],
)
def test_configs_as_people_write_them_are_taken(data, tmp_path, more):
    path = write(
        data,
        tmp_path / 'own.py',
        more.replace(
            'test_evaluator = dict(type',
            'test_evaluator = dict(\n    ann_file=truth, type',
        ),
    )
    (run,) = plan_study([path], [0], tmp_path / 'study')
    cfg = Config.fromfile(run.config)
    assert cfg.test_evaluator.type == 'SmallObjectMetric'
    assert cfg.custom_imports.imports == ['sge_mmdet']
    assert cfg.model == Config.fromfile(path).model


def test_building_a_model_does_not_change_its_config(data, tmp_path):
    """MMDetection's constructors put things into what they are given."""
    model = Config.fromfile(
        upstream_path(
            'configs',
            'deformable_detr',
            'deformable-detr_r50_16xb2-50e_coco.py',
        )
    ).model.to_dict()
    model['backbone']['init_cfg'] = None
    path = write(
        data, tmp_path / 'own.py', f'model = dict(_delete_=True, **{model!r})'
    )
    (run,) = plan_study([path], [0], tmp_path / 'study')
    assert Config.fromfile(run.config).model == Config.fromfile(path).model


def test_only_the_classes_of_the_config_are_tested(data, tmp_path):
    path = write(
        data,
        tmp_path / 'own.py',
        (
            'test_dataloader = dict(dataset=dict(\n    '
            f"data_root='{data}/', metainfo=dict(classes=('3', '7'))))"
        ),
    )
    (run,) = plan_study([path], [0], tmp_path / 'study')
    assert run.classes == ('3', '7')


def test_learning_rate_for_other_batches_is_warned_of(data, tmp_path):
    path = write(
        data,
        tmp_path / 'own.py',
        'auto_scale_lr = dict(enable=False, base_batch_size=16)',
    )
    with pytest.warns(UserWarning, match='batches of 16 images, and .* 2;'):
        plan_study([path], [0], tmp_path / 'study')


@pytest.mark.parametrize(
    'change, words',
    [
        (dict(configs=[]), 'configs: expected .* each only once, got none'),
        (dict(configs=[SGE, SGE]), 'configs: expected .* each only once'),
        (dict(seeds=[1, 1]), 'seeds: expected .* each only once, got 1, 1'),
        (dict(names=['a']), 'one name for each config'),
        (dict(names=['a', 'a']), 'names: expected .* each only once'),
        (dict(metric='segm'), 'expected segm in .*metric, .* got bbox; '),
        (dict(options={}), 'There is no folder data/digits'),
    ],
)
def test_plan_that_cannot_run_is_refused(
    data, tmp_path, monkeypatch, change, words
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        plan(data, tmp_path / 'study', **change)
    assert not (tmp_path / 'study').exists()


@pytest.mark.parametrize(
    'option, value, words',
    [
        ('model.backbone.sge.groups', 5, r'sge_fpn.*5'),
        ('test_evaluator.type', 'VOCMetric', "got .*'VOCMetric'"),
        ('test_evaluator.ann_file', None, 'whose ann_file'),
        (
            'test_evaluator.ann_file',
            '/no/truth.json',
            'no file /no/truth.json',
        ),
        ('val_dataloader.dataset.data_root', '/no/', 'no folder /no/'),
        # In one line, without the whole config.
        ('default_hooks.timer.type', len, r'sge_fpn.* a function; [^\n]*\Z'),
    ],
)
def test_config_that_cannot_be_studied_is_named(
    data, tmp_path, option, value, words
):
    changed = dict(options(data), **{option: value})
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        plan(data, tmp_path, configs=[SGE], options=changed)
    assert not list(tmp_path.iterdir())


def test_missing_config_is_named(data, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no config .*none\.py'):
        plan(data, tmp_path, configs=['none.py'])


def test_configs_with_other_test_data_are_not_compared(data, tmp_path):
    one = write(data, tmp_path / 'one.py')
    other = tmp_path / 'other.py'
    other.write_text(one.read_text().replace('val.json', 'train.json'))
    with pytest.raises(ValueError, match='same test annotations'):
        plan_study([one, other], [0], tmp_path / 'study')


def test_file_with_the_name_of_a_config_is_kept(data, tmp_path):
    mine = tmp_path / 'configs' / f'{Path(SGE).stem}_0.py'
    mine.parent.mkdir()
    mine.write_text('mine')
    with pytest.raises(FileExistsError, match=r'_0\.py is there already'):
        plan(data, tmp_path, configs=[SGE])
    assert mine.read_text() == 'mine'
    plan(data, tmp_path, configs=[SGE], overwrite=True)
    assert 'randomness' in mine.read_text()
