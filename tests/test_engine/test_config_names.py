"""Configs of this package in MMEngine, by names such as sge_mmdet::sge/..."""

from pathlib import Path

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config, utils
from mmengine.registry import MODELS as ROOT_MODELS

import sge_mmdet
from sge_mmdet.engine import allow_config_names
from sge_mmdet.utils import find_config, load_config, own_path

CONFIG = 'sge_mmdet::sge/faster-rcnn_r50-sge_fpn_1x_coco.py'


def test_name_is_resolved_to_a_config_that_loads():
    assert find_config(CONFIG).parent == own_path('configs', 'sge').resolve()
    assert load_config(CONFIG).model.backbone.type == 'SGEResNet'


def test_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(FileNotFoundError, match=f'nearest is {CONFIG}'):
        find_config(CONFIG.replace('r50', 'r5'))
    with pytest.raises(FileNotFoundError, match='There is no config mmyolo::'):
        find_config('mmyolo::yolov5/yolov5_s.py')


def test_package_of_the_name_is_known_to_mmengine():
    allow_config_names()
    folder = Path(sge_mmdet.__file__).parent
    module = utils.MODULE2PACKAGE['sge_mmdet']
    assert Path(utils_path(module)) == folder


def utils_path(module):
    from mmengine.utils import get_installed_path, is_installed

    assert is_installed(module)
    return get_installed_path(module)


@pytest.mark.parametrize('registry', [MODELS, ROOT_MODELS], ids=['mmdet', ''])
@pytest.mark.parametrize('kind', ['SGEResNet', 'ResNet'])
def test_parts_of_an_inherited_config_are_built(registry, kind, caplog):
    """Variables of a base named sge_mmdet:: have this scope."""
    model = registry.build(dict(type=kind, depth=18, _scope_='sge_mmdet'))
    assert type(model).__name__ == kind
    assert 'not installed' not in caplog.text


def test_variable_of_an_inherited_config_has_the_scope(tmp_path, monkeypatch):
    base = tmp_path / 'base.py'
    base.write_text("backbone = dict(type='SGEResNet', depth=18)\n")
    monkeypatch.setattr(
        Config,
        '_get_cfg_path',
        staticmethod(lambda name, filename: (str(base), 'sge_mmdet')),
    )
    child = tmp_path / 'child.py'
    child.write_text(
        "_base_ = 'sge_mmdet::base.py'\nmodel = _base_.backbone\n"
    )
    cfg = Config.fromfile(child)
    assert cfg.model._scope_ == 'sge_mmdet'
    assert type(MODELS.build(cfg.model)).__name__ == 'SGEResNet'
