import numpy as np
import pytest
import torch
from matplotlib.image import imread
from torch import nn

from sge_mmdet import SGEResNet, SpatialGroupEnhance
from sge_mmdet.visualization import (
    draw_gates,
    draw_similarity_histogram,
    recorded_gates,
)


@pytest.fixture
def maps():
    """What a layer does to the first of two images."""
    layer = SpatialGroupEnhance(12, 4)
    nn.init.normal_(layer.weight)
    with recorded_gates(nn.Sequential(layer)) as found:
        layer(torch.rand(2, 12, 9, 7))
    return found['0']


def test_maps_are_what_the_layer_computes():
    layer = SpatialGroupEnhance(12, 4).double()
    nn.init.normal_(layer.weight)
    x = torch.randn(2, 12, 9, 7).double()
    with recorded_gates(nn.Sequential(layer)) as found:
        y = layer(x)
    maps = found['0']
    gate = torch.from_numpy(maps.gate).repeat_interleave(3, 0)
    torch.testing.assert_close(gate * x[0].float(), y[0].float())
    for name, value in (('before', x), ('after', y)):
        np.testing.assert_allclose(
            getattr(maps, name),
            value[0].abs().unflatten(0, (4, 3)).mean(1).detach(), rtol=1e-5)
    np.testing.assert_allclose(maps.normalized.mean((1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(maps.normalized.std((1, 2), ddof=1), 1,
                               rtol=1e-3)
    assert (maps.similarity.mean((1, 2)) > 0).all()


def test_telling_groups_are_those_that_vary_most(maps):
    order = maps.telling_groups(4)
    variances = maps.gate.var((1, 2))[order]
    assert (np.diff(variances) <= 0).all() and sorted(order) == [0, 1, 2, 3]
    assert maps.telling_groups(2) == order[:2]


def test_every_layer_of_a_backbone_is_recorded_and_left_alone():
    backbone = SGEResNet(18).eval()
    image = torch.rand(1, 3, 32, 32)
    want = backbone(image)
    with recorded_gates(backbone) as found:
        got = backbone(image)
    assert len(found) == 8 and 'layer4.1.sge' in found
    assert not any(module._forward_hooks for module in backbone.modules())
    for a, b in zip(got, want):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_model_without_sge_is_said():
    with pytest.raises(ValueError, match='no SGE layer'):
        with recorded_gates(nn.Conv2d(3, 3, 1)):
            pass


@pytest.mark.parametrize('has_before', [False, True])
def test_sheets_are_drawn(maps, has_before, tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (90, 70, 3))
    draw_gates(image, maps, [2, 0], 'a layer', tmp_path / 'gates.png',
               maps if has_before else None)
    draw_similarity_histogram(maps, [2, 0], 'a layer',
                              tmp_path / 'histogram.png')
    sheet = imread(tmp_path / 'gates.png')
    assert sheet.shape[1] == (1550 if has_before else 1240)
    assert sheet.std() > 0 and imread(tmp_path / 'histogram.png').std() > 0
