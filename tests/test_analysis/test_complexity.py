from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import nn

from sge_mmdet import SpatialGroupEnhance, insert_sge
from sge_mmdet.analysis import (
    PAPER_ROWS,
    ModelStats,
    add_classifier,
    config_stats,
    count_flops,
    count_flops_as_mmengine,
    count_parameters,
)
from sge_mmdet.utils import build_part
from tests.helpers.scripts import run_script


@pytest.mark.parametrize('row', PAPER_ROWS, ids=lambda row: row.name)
def test_every_digit_of_the_paper_is_reproduced_or_named(row):
    with torch.device('meta'):
        model = build_part(row.backbone)
        if row.is_classifier:
            model = add_classifier(model)
        flops = count_flops(model, torch.rand(1, 3, *row.image))
    stats = ModelStats(row.name, row.image, count_parameters(model), flops, 0)
    assert stats.agrees_with(row) != bool(row.difference), stats


def test_only_one_row_of_the_paper_is_known_to_differ():
    assert [row.name for row in PAPER_ROWS if row.difference] == [
        'SE-ResNet-101 backbone'
    ]


def test_wrong_digit_would_be_seen():
    row = PAPER_ROWS[0]
    right = ModelStats('', (1, 1), 25_557_032, 4_121_924_096, 0)
    assert right.agrees_with(row)
    assert not right._replace(flops=4_122_600_000).agrees_with(row)
    assert not right._replace(params=25_570_000).agrees_with(row)


@pytest.mark.parametrize(
    'module, shape, flops',
    [
        (nn.Conv2d(8, 16, 3, padding=1), (1, 8, 5, 6), 30 * 16 * (72 + 1)),
        (
            nn.Conv2d(8, 16, 3, stride=2, groups=4),
            (1, 8, 5, 7),
            2 * 3 * 16 * (2 * 9 + 1),
        ),
        (nn.ConvTranspose2d(8, 4, 2, stride=2), (1, 8, 5, 6), 30 * 8 * 4 * 4),
        (nn.Linear(8, 3), (2, 8), 2 * 8 * 3),
        (nn.BatchNorm2d(8), (1, 8, 5, 6), 2 * 8 * 30),
        (nn.GroupNorm(2, 8), (1, 8, 5, 6), 2 * 8 * 30),
        (nn.ReLU(), (1, 8, 5, 6), 8 * 30),
        (nn.MaxPool2d(2), (1, 8, 6, 6), 8 * 36),
        (nn.AdaptiveAvgPool2d(1), (1, 8, 6, 6), 8 * 36),
        (SpatialGroupEnhance(8, 4), (1, 8, 6, 6), 8 * 36),
        (nn.Sigmoid(), (1, 8, 6, 6), 0),
    ],
    ids=lambda value: (
        type(value).__name__ if isinstance(value, nn.Module) else None
    ),
)
def test_each_kind_of_layer_costs_what_the_authors_say(module, shape, flops):
    assert count_flops(module, torch.rand(shape)) == flops


def test_sge_adds_two_parameters_a_group():
    for depth, added in ((50, 2048), (101, 4224)):
        with torch.device('meta'):
            plain, ours = (
                MODELS.build(dict(type=kind, depth=depth))
                for kind in ('ResNet', 'SGEResNet')
            )
        assert count_parameters(ours) - count_parameters(plain) == added


def test_mmengine_counts_convolutions_alike():
    conv = nn.Conv2d(8, 16, 3, padding=1, bias=False)
    image = torch.rand(1, 8, 5, 6)
    assert count_flops_as_mmengine(conv, image) == count_flops(conv, image)


def test_config_gives_a_row_for_the_backbone_and_one_for_the_detector():
    register_all_modules()
    cfg = Config.fromfile(
        Path(__file__).parents[2]
        / 'configs'
        / 'demo'
        / 'faster-rcnn_r18-sge_fpn_400i_digits.py'
    )
    backbone, detector = config_stats(cfg, (70, 100))
    assert (backbone.name, backbone.image) == ('backbone SGEResNet', (70, 100))
    assert (detector.name, detector.image) == (
        'detector FasterRCNN',
        (96, 128),
    )
    assert detector.params > backbone.params
    assert detector.flops > backbone.flops > backbone.mmengine_flops


def test_tool_prints_a_backbone_and_names_what_it_does_not_know():
    code, output = run_script(
        'model_stats.py',
        'SGEResNet',
        '--cfg-options',
        'depth=18',
        '--shape',
        '64',
        '96',
    )
    assert code == 0
    assert output.splitlines()[1].split()[:2] == ['SGEResNet', '96x64']
    code, output = run_script('model_stats.py', 'NoSuchNet')
    assert code == 1 and 'NoSuchNet' in output


@pytest.mark.parametrize('after', ['0', '1'])
def test_inserted_sge_does_not_count_the_layer_before_it_twice(after):
    def build():
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))

    image = torch.rand(1, 3, 10, 10)
    # SGE counts one operation for each value of its input.
    model = insert_sge(build(), after, groups=4)
    assert count_flops(model, image) == count_flops(build(), image) + 8 * 64
