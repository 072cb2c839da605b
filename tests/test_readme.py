"""The three ways of plugging SGE in, run from the README's own text."""

import re
from pathlib import Path

import pytest
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from sge_mmdet import SpatialGroupEnhance

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text()
WAYS = re.findall(
    r'```python\n(.*?)```',
    README.split('## Plug it into your config')[1].split('\n## ')[0],
    re.DOTALL,
)


@pytest.fixture(autouse=True, scope='module')
def registered():
    register_all_modules()


def has_sge(cfg):
    backbone = MODELS.build(cfg.model.backbone)
    return any(
        isinstance(part, SpatialGroupEnhance) for part in backbone.modules()
    )


def test_there_are_three_ways_of_at_most_five_lines():
    assert len(WAYS) == 3
    assert all(len(way.splitlines()) <= 5 for way in WAYS)


@pytest.mark.parametrize('way', WAYS[:2], ids=['type', 'plugin'])
def test_config_in_the_readme_builds_with_sge(way, tmp_path):
    (tmp_path / 'config.py').write_text(way)
    assert has_sge(Config.fromfile(tmp_path / 'config.py'))


def test_python_in_the_readme_adds_sge(tmp_path, monkeypatch):
    (tmp_path / 'my_config.py').write_text(
        "model = dict(backbone=dict(type='ResNeSt', depth=50))"
    )
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(WAYS[2], names)
    assert has_sge(names['cfg'])


def test_files_and_folders_in_the_readme_exist():
    names = re.findall(r'\]\(([^)#:]+)\)', README) + re.findall(
        r'\b((?:tools|tests|configs|docs|sge_mmdet)/[\w./-]*\w)', README
    )
    assert names and all((ROOT / name).exists() for name in names)
