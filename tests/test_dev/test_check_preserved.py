"""The comparison of detectors before and after preserving SGE."""

import csv
import math
import sys

import pytest
import torch
from mmdet.utils import register_all_modules

from tests.helpers.documents import ROOT
from tests.helpers.scripts import TOOLS, load_script


@pytest.fixture(scope='module')
def script():
    register_all_modules()
    sys.path.insert(0, str(TOOLS / 'dev'))
    try:
        return load_script('dev/check_preserved.py')
    finally:
        sys.path.remove(str(TOOLS / 'dev'))


@pytest.mark.filterwarnings('ignore:insert_sge')
def test_a_detector_computes_what_it_did(script):
    cfg, compared = script.check_config('yolox/yolox_s_8xb8-300e_coco.py')
    assert cfg.model.backbone.type == 'SGECSPDarknet'
    assert compared.layers > 3
    assert max(compared[1:]) < script.TOLERANCE


def test_differences_are_found(script):
    before = dict(a=[torch.ones(2), torch.zeros(3)], b=(torch.ones(1),))
    after = dict(a=[torch.ones(2), torch.zeros(3)], b=(torch.full((1,), 2),))
    assert script.difference(before, before) == 0
    assert script.difference(before, dict(before, b=torch.full((1,), 2.0)))
    with pytest.raises(AssertionError):
        script.difference(before, after)
    nan = dict(before, b=torch.full((1,), math.nan))
    assert math.isnan(script.difference(before, nan))


def test_the_table_has_every_family_and_no_difference(script):
    with (ROOT / 'docs/results/preserved.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 40
    assert {row['kind'] for row in rows} == set(script.CONFIGS)
    for row in rows:
        assert int(row['SGE layers']) > 0
        assert float(row['features']) < script.TOLERANCE
        assert float(row['heads']) < script.TOLERANCE
