import pytest
from mmengine.config import Config

from sge_mmdet import add_sge
from sge_mmdet.conversion import find_config, write_sge_config
from tests.helpers.scripts import run_script

STOCK = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
OWN = "model = dict(backbone=dict(type='ResNet', depth=50))\n"


def test_tool_writes_a_short_config_that_inherits_the_given_one(tmp_path):
    code, shown = run_script(
        'add_sge.py', STOCK, '-o', tmp_path / 'new.py', '--groups', 32
    )
    text = (tmp_path / 'new.py').read_text()
    assert code == 0 and text in shown
    assert text == (
        f"_base_ = '{STOCK}'\n\n"
        "custom_imports = dict(imports=['sge_mmdet'])\n"
        "model = dict(backbone=dict(type='SGEResNet', "
        'sge=dict(groups=32)))\n'
    )


def test_tool_says_what_is_wrong_and_keeps_the_file_that_is_there(tmp_path):
    (tmp_path / 'new.py').write_text('mine')
    code, error = run_script('add_sge.py', STOCK, '-o', tmp_path / 'new.py')
    assert (
        code == 1
        and error.startswith('error: ')
        and ('is there already' in error)
    )
    assert (tmp_path / 'new.py').read_text() == 'mine'
    assert (
        run_script(
            'add_sge.py', STOCK, '-o', tmp_path / 'new.py', '--overwrite'
        )[0]
        == 0
    )


def test_written_config_is_what_add_sge_returns(tmp_path):
    (tmp_path / 'own.py').write_text(OWN)
    written = write_sge_config(
        tmp_path / 'own.py',
        tmp_path / 'a' / 'new.py',
        stages=(False, True, True, True),
    )
    made = add_sge(
        Config.fromfile(tmp_path / 'own.py'), stages=(False, True, True, True)
    )
    assert written.to_dict() == made.to_dict()
    assert "_base_ = '../own.py'" in (tmp_path / 'a' / 'new.py').read_text()


def test_folder_names_that_mmengine_cannot_inherit_by_are_paths(tmp_path):
    name = 'gn+ws/faster-rcnn_r50_fpn_gn-ws-all_1x_coco.py'
    cfg = write_sge_config(f'mmdet::{name}', tmp_path / 'new.py')
    assert cfg.model.backbone.type == 'SGEResNet'
    assert (
        str(find_config(f'mmdet::{name}')) in (tmp_path / 'new.py').read_text()
    )


@pytest.mark.parametrize(
    'base, target, error, words',
    [
        ('own.py', 'own.py', FileExistsError, 'own.py is an input'),
        ('none.py', 'new.py', FileNotFoundError, 'no config .*none.py'),
        ('lazy.py', 'new.py', ValueError, 'pure Python style'),
        ('own.py', 'new.json', ValueError, 'got .*new.json; name it .*new.py'),
        (
            'wrong.py',
            'new.py',
            ValueError,
            'wrong.py: expected a config in Python',
        ),
    ],
)
def test_files_that_cannot_be_used_are_refused(
    tmp_path, base, target, error, words
):
    (tmp_path / 'own.py').write_text(OWN)
    (tmp_path / 'lazy.py').write_text(
        'from mmengine.config import read_base\n'
        f'with read_base():\n    from .own import *\n{OWN}'
    )
    (tmp_path / 'wrong.py').write_text('model = dict(')
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=words):
        write_sge_config(tmp_path / base, tmp_path / target, overwrite=True)
    assert (tmp_path / 'own.py').read_text() == OWN
    assert sorted(tmp_path.iterdir()) == before


def test_missing_upstream_config_is_named():
    with pytest.raises(FileNotFoundError, match='no configs/x/none'):
        find_config('mmdet::x/none.py')


def test_config_that_the_inherited_one_inherits_is_never_replaced(tmp_path):
    (tmp_path / 'own.py').write_text(OWN)
    (tmp_path / 'child.py').write_text("_base_ = 'own.py'\n")
    (tmp_path / 'grandchild.py').write_text("_base_ = ['child.py']\n")
    with pytest.raises(FileExistsError, match=r'own\.py is an input'):
        write_sge_config(
            tmp_path / 'grandchild.py', tmp_path / 'own.py', overwrite=True
        )
    assert (tmp_path / 'own.py').read_text() == OWN
