import re

import pytest
from mmengine.config import Config

from sge_mmdet.engine import check_datasets, check_model


def config(root, ann_file='train.json', img='images/', **wrapper):
    dataset = dict(
        type='CocoDataset',
        data_root=f'{root}/',
        ann_file=ann_file,
        data_prefix=dict(img=img),
    )
    return Config(
        dict(
            train_dataloader=dict(
                dataset=dict(wrapper, dataset=dataset) if wrapper else dataset
            )
        )
    )


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'train.json').write_text('{"images": []}')
    return tmp_path


def test_complete_data_passes(root):
    check_datasets(config(root), ['train', 'val'])


@pytest.mark.parametrize(
    'text',
    ['', 'not json', '<html></html>', '{"images": [{"id": 1', '{no json}'],
)
@pytest.mark.parametrize('whole_file_bytes', [0, 10**6])
def test_file_that_is_not_json_is_named(
    root, text, whole_file_bytes, monkeypatch
):
    """Also of a large file, of which the ends alone are read."""
    monkeypatch.setattr(
        'sge_mmdet.utils.json_files.WHOLE_FILE_BYTES', whole_file_bytes
    )
    if text == '{no json}' and not whole_file_bytes:
        text = '{no json' + 100 * ' '
    text = text.rjust(64) if not whole_file_bytes else text
    (root / 'train.json').write_text(text)
    with pytest.raises(ValueError, match=r'train\.json is not a JSON file'):
        check_datasets(config(root), ['train'])


@pytest.mark.parametrize(
    'options, missing',
    [
        (dict(ann_file='other.json'), 'no file .*other.json'),
        (dict(img='jpg/'), 'no folder .*jpg'),
    ],
)
def test_missing_data_is_named_with_the_option_to_set(root, options, missing):
    with pytest.raises(FileNotFoundError) as error:
        check_datasets(config(root, **options), ['train'])
    assert error.match(missing)
    assert error.match(r'set train_dataloader\.dataset\.data_root')


@pytest.mark.parametrize(
    'options, missing',
    [
        (dict(data_root='nowhere'), 'nowhere'),
        (dict(data_root='{root}', data_prefix='train'), 'train'),
    ],
)
def test_missing_folder_of_a_classifiers_data_is_named(root, options, missing):
    """MMPretrain's need no annotations, and a prefix is a text."""
    options['data_root'] = options['data_root'].format(root=root)
    cfg = Config(dict(val_dataloader=dict(dataset=options)))
    with pytest.raises(
        FileNotFoundError,
        match=f'no folder .*{missing}.*set '
        r'val_dataloader\.dataset\.data_root',
    ):
        check_datasets(cfg, ['val'])


def test_missing_root_is_named_inside_wrappers(tmp_path):
    cfg = config(tmp_path / 'nowhere', type='RepeatDataset', times=3)
    with pytest.raises(
        FileNotFoundError,
        match='no folder .*nowhere.*set '
        r'train_dataloader\.dataset\.dataset\.data_root',
    ):
        check_datasets(cfg, ['train'])


def test_data_on_other_storage_is_left_alone():
    cfg = config('s3://bucket/coco')
    check_datasets(cfg, ['train'])
    cfg = config('nowhere')
    cfg.train_dataloader.dataset.backend_args = dict(backend='petrel')
    check_datasets(cfg, ['train'])


def test_only_the_named_splits_are_checked(tmp_path):
    check_datasets(config(tmp_path / 'nowhere'), ['val', 'test'])


def test_plugin_position_that_does_not_exist_is_named():
    backbone = dict(
        type='ResNet',
        depth=50,
        plugins=[dict(cfg=dict(type='SGE'), position='after_conv4')],
    )
    model = dict(type='SoftTeacher', detector=dict(backbone=backbone))
    with pytest.raises(ValueError, match="got position='after_conv4'"):
        check_model(Config(dict(model=model)).model)
    backbone['plugins'][0]['position'] = 'after_conv3'
    check_model(model)


@pytest.mark.parametrize('plugin', [None, 'SGE', ['SGE']])
def test_plugin_that_is_no_dict_is_named(plugin):
    with pytest.raises(ValueError, match=f'got {re.escape(repr(plugin))}'):
        check_model(dict(type='ResNet', plugins=[plugin]))
