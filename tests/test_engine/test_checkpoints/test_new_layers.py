"""What is said about SGE layers that loaded weights do not have."""

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.runner import load_checkpoint

import sge_mmdet  # noqa: F401  registers the types

pytestmark = pytest.mark.filterwarnings('ignore:insert_sge.*single channel')
CSPNEXT = dict(type='CSPNeXt', widen_factor=0.25, deepen_factor=0.34)
SWIN = dict(type='SwinTransformer', embed_dims=48, depths=(1, 1, 1, 1))


@pytest.fixture
def log(caplog):
    """What MMEngine's logger, which does not propagate, was told."""
    register_all_modules()
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def lines(log):
    return [
        record.getMessage()
        for record in log.records
        if 'SGE layer' in record.getMessage()
    ]


def save(module, path):
    torch.save(dict(state_dict=module.state_dict()), path)
    return str(path)


def test_plain_weights_are_said_to_lack_sge_once(log, tmp_path):
    weights = save(MODELS.build(CSPNEXT), tmp_path / 'plain.pth')
    with_sge = MODELS.build(dict(CSPNEXT, type='SGECSPNeXt'))
    load_checkpoint(with_sge, weights)
    (line,) = lines(log)
    assert line.startswith('6 SGE layers are new: ')
    assert 'scales its map by 0.73 at first' in line
    assert 'preserve=True' in line and 'tools/convert_checkpoint.py' in line


def test_preserving_layers_are_said_to_change_nothing(log, tmp_path):
    weights = save(MODELS.build(CSPNEXT), tmp_path / 'plain.pth')
    sge = dict(preserve=True, after='stage4.0')
    load_checkpoint(
        MODELS.build(dict(CSPNEXT, type='SGECSPNeXt', sge=sge)), weights
    )
    (line,) = lines(log)
    assert line.startswith('1 SGE layer is new: ')
    assert line.endswith('they compute what the weights did')


def test_weights_with_sge_and_other_weights_say_nothing(log, tmp_path):
    with_sge = MODELS.build(dict(CSPNEXT, type='SGECSPNeXt'))
    load_checkpoint(with_sge, save(with_sge, tmp_path / 'sge.pth'))
    other = save(torch.nn.Conv2d(1, 1, 1), tmp_path / 'other.pth')
    load_checkpoint(with_sge, other)
    assert lines(log) == []


def test_pretrained_swin_says_it_too(log, tmp_path):
    # It takes the part of a detector alone.
    plain = torch.nn.ModuleDict(dict(backbone=MODELS.build(SWIN)))
    weights = save(plain, tmp_path / 'swin.pth')
    backbone = MODELS.build(
        dict(
            SWIN,
            type='SGESwinTransformer',
            init_cfg=ConfigDict(type='Pretrained', checkpoint=weights),
        )
    )
    backbone.init_weights()
    (line,) = lines(log)
    assert line.startswith('4 SGE layers are new: ')
