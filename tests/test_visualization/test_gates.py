import dataclasses

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from torch import nn

from sge_mmdet import SGEResNet, SpatialGroupEnhance
from sge_mmdet.visualization import (
    choose_layers,
    gates_figure,
    recorded_gates,
    similarity_figure,
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
            value[0].abs().unflatten(0, (4, 3)).mean(1).detach(),
            rtol=1e-5,
        )
    np.testing.assert_allclose(maps.normalized.mean((1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(
        maps.normalized.std((1, 2), ddof=1), 1, rtol=1e-3
    )
    assert (maps.similarity.mean((1, 2)) > 0).all()


def test_chosen_groups_are_those_that_vary_most(maps):
    order = maps.choose_groups()
    variances = maps.gate.var((1, 2))[order]
    assert (np.diff(variances) <= 0).all() and sorted(order) == [0, 1, 2, 3]
    assert maps.choose_groups(number=2) == order[:2]
    assert maps.choose_groups([3, 1]) == [3, 1]


@pytest.mark.parametrize('groups', [[4], [-1, 2]])
def test_group_that_does_not_exist_is_named(maps, groups):
    with pytest.raises(
        ValueError,
        match=r'groups: expected indices from 0 to 3, got .*'
        f'{groups[0]}',
    ):
        gates_figure(np.zeros((9, 7, 3)), {'gate': maps}, 'a layer', groups)


def test_chosen_layers_are_the_last_of_each_stage():
    names = [
        'backbone.layer1.0.sge',
        'backbone.layer1.1.sge',
        'backbone.layer2.0.sge',
        'neck.sge.0',
        'neck.sge.1',
    ]
    assert choose_layers(names) == [
        'backbone.layer1.1.sge',
        'backbone.layer2.0.sge',
        'neck.sge.1',
    ]
    assert choose_layers(names, ['layer1', 'neck.sge.0']) == [
        *names[:2],
        'neck.sge.0',
    ]
    with pytest.raises(ValueError, match=r'names backbone.*, got layer9'):
        choose_layers(names, ['layer9'])


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


@pytest.mark.parametrize('names', [['gate'], ['before', 'after']])
def test_sheet_has_a_row_for_each_group_and_a_column_for_each_gate(
    maps, names
):
    image = np.random.default_rng(0).integers(0, 255, (90, 70, 3))
    figure = gates_figure(
        image, dict.fromkeys(names, maps), 'a layer', number=2
    )
    titles = [
        axis.get_title().split('\n')[0]
        for axis in figure.axes
        if axis.get_title()
    ]
    assert titles == 2 * [
        'image',
        *names,
        'activation before SGE',
        'activation after SGE',
    ]
    assert [
        axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()
    ] == [f'group {group}' for group in maps.choose_groups(number=2)]


def test_equal_gates_have_one_colour_in_all_rows(maps):
    weaker = dataclasses.replace(maps, gate=maps.gate / 2)
    figure = gates_figure(
        np.zeros((90, 70, 3)), {'before': weaker, 'after': maps}, 'a layer'
    )
    shown = [
        axis.images[1]
        for axis in figure.axes
        if axis.get_title().startswith(('before', 'after'))
    ]
    assert len(shown) == 8
    assert {image.get_clim() for image in shown} == {
        (float(weaker.gate.min()), float(maps.gate.max()))
    }
    bars = [axis.get_xlabel() for axis in figure.axes if axis.get_xlabel()]
    assert bars == ['gate, one scale for all groups']


def test_padding_of_the_batch_is_not_drawn_over_the_image(maps):
    image = np.zeros((90, 70, 3))
    padded = dataclasses.replace(maps, covered=(1.5, 2.0))
    figure = gates_figure(image, {'gate': padded}, 'a layer', [0])
    axis = figure.axes[1]
    assert tuple(axis.images[1].get_extent()) == (0, 140, 135, 0)
    assert (axis.get_xlim(), axis.get_ylim()) == ((0, 70), (90, 0))


def test_histogram_has_both_similarities_of_every_group(maps, tmp_path):
    figure = similarity_figure(maps, 'a layer', [2, 0])
    assert [len(axis.get_legend().texts) for axis in figure.axes] == [2, 2]
    figure.savefig(tmp_path / 'histogram.png')
    assert imread(tmp_path / 'histogram.png').std() > 0


def test_maps_of_a_preserving_layer_are_those_behind_its_factor():
    layer = SpatialGroupEnhance(12, 4, preserve=True).double()
    nn.init.normal_(layer.weight)
    x = torch.randn(2, 12, 9, 7).double()
    with recorded_gates(nn.Sequential(layer)) as found:
        y = layer(x)
    after = y[0].abs().unflatten(0, (4, 3)).mean(1).detach()
    np.testing.assert_allclose(found['0'].after, after, rtol=1e-5)
