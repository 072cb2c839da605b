"""The README: its length, and the three ways of plugging SGE in."""

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
    README.split('## Plug SGE into your config')[1].split('\n## ')[0],
    re.DOTALL,
)


@pytest.fixture(autouse=True, scope='module')
def registered():
    register_all_modules()


def has_sge(part):
    return any(
        isinstance(module, SpatialGroupEnhance) for module in part.modules()
    )


def test_readme_fits_two_screens():
    lines = README.splitlines()
    assert len(lines) <= 150
    assert [line for line in lines if len(line) > 100] == []


def test_there_are_three_ways_of_at_most_five_lines():
    assert len(WAYS) == 3
    assert all(len(way.splitlines()) <= 5 for way in WAYS)


@pytest.mark.parametrize('way', range(3), ids=['type', 'plugin', 'neck'])
def test_config_in_the_readme_builds_with_sge(way, tmp_path):
    (tmp_path / 'config.py').write_text(WAYS[way])
    model = Config.fromfile(tmp_path / 'config.py').model
    model.backbone.init_cfg = None
    assert has_sge(MODELS.build(model.neck if way == 2 else model.backbone))


def test_readme_says_what_was_found_here_and_whose_the_gains_are():
    introduction = README.split('\n## ')[0]
    introduction = ' '.join(introduction.split())
    assert 'no gain' in introduction and 'paired seeds' in introduction
    assert 'the paper reports' in introduction
