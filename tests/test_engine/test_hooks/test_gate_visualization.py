import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmdet.registry import HOOKS, MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import Config

from sge_mmdet.visualization import record_gates

DEMO = (
    Path(__file__).parents[3]
    / 'configs'
    / 'demo'
    / 'faster-rcnn_r18-sge_fpn_400i_digits.py'
)


@pytest.fixture(scope='module')
def detector():
    register_all_modules()
    model = MODELS.build(Config.fromfile(DEMO).model)
    model.init_weights()
    for name, parameter in model.named_parameters():
        if name.endswith('sge.weight'):
            torch.nn.init.normal_(parameter)
    return model


def sample(height=40, width=50):
    data = DetDataSample()
    data.set_metainfo(
        dict(
            img_shape=(height, width),
            img_id=0,
            ori_shape=(height, width),
            scale_factor=(1, 1),
        )
    )
    return dict(
        inputs=torch.randint(255, (3, height, width), dtype=torch.uint8),
        data_samples=data,
    )


class Runner(SimpleNamespace):
    """As much of a runner as a hook looks at."""

    def __init__(self, model, **kwargs):
        self.drawn = []
        super().__init__(
            **{
                **dict(
                    model=model,
                    iter=0,
                    val_loop=SimpleNamespace(
                        dataloader=SimpleNamespace(dataset=[sample()])
                    ),
                    visualizer=SimpleNamespace(
                        _vis_backends=dict(a=1),
                        add_image=lambda *args: self.drawn.append(args),
                    ),
                ),
                **kwargs,
            }
        )


def hook(**kwargs):
    return HOOKS.build(dict(type='SGEVisualizationHook', **kwargs))


def test_sheets_are_drawn_every_interval(detector):
    runner = Runner(detector)
    drawing = hook(interval=3, layers=['layer1.0', 'layer4.1'], number=1)
    drawing.before_train(runner)
    assert not runner.drawn
    for runner.iter in range(7):
        drawing.after_train_iter(runner, 0)
    names = [
        f'{kind}_backbone.{layer}.sge'
        for layer in ('layer1.0', 'layer4.1')
        for kind in ('sge', 'sge_similarity')
    ]
    assert [(name, step) for name, _, step in runner.drawn] == [
        (name, step) for step in (3, 6) for name in names
    ]
    for _, pixels, _ in runner.drawn:
        assert pixels.dtype == 'uint8' and pixels.shape[2] == 3
        assert pixels.std() > 0


def test_training_is_left_as_it_was(detector):
    state = copy.deepcopy(detector.state_dict())
    detector.train()
    modes = [module.training for module in detector.modules()]
    runner = Runner(detector)
    random = torch.get_rng_state()
    drawing = hook(interval=1, number=1, layers=['layer4.1'])
    drawing.before_train(runner)
    drawing.after_train_iter(runner, 0)
    assert [module.training for module in detector.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)
    assert all(
        torch.equal(value, state[name])
        for name, value in detector.state_dict().items()
    )
    assert all(p.grad is None for p in detector.parameters())
    assert not any(module._forward_hooks for module in detector.modules())


def test_maps_are_over_the_image_as_the_model_gets_it(detector):
    data = sample(40, 50)
    pixels, maps = record_gates(detector, data)
    # MMDetection loads BGR, and pads to a multiple of 32.
    assert (pixels == data['inputs'].flip(0).permute(1, 2, 0).numpy()).all()
    of_layer = maps['backbone.layer1.1.sge']
    assert of_layer.gate.shape == (64, 16, 16)
    assert of_layer.covered == (64 / 40, 64 / 50)


@pytest.mark.parametrize(
    'options, runner_options, words',
    [
        (dict(interval=0), {}, r'interval: expected a positive number, got 0'),
        (dict(number=-1), {}, r'number: expected a positive number, got -1'),
        (dict(layers=['layer9']), {}, 'got layer9'),
        (
            dict(groups=[64]),
            {},
            'groups: expected indices from 0 to 63, got 64',
        ),
        (dict(index=1), {}, 'of the 1 validation images, got 1'),
        ({}, dict(val_loop=None), 'add a val_dataloader'),
        (
            {},
            dict(visualizer=SimpleNamespace(_vis_backends={})),
            'needs a backend to write to',
        ),
    ],
)
def test_what_cannot_be_drawn_is_said_before_training(
    detector, options, runner_options, words
):
    with pytest.raises(ValueError, match=words):
        hook(**options).before_train(Runner(detector, **runner_options))


def test_detector_without_sge_is_refused(detector):
    model = Config.fromfile(DEMO).model
    model.backbone.type = 'ResNet'
    with pytest.raises(ValueError, match='no SGE layer'):
        hook().before_train(Runner(MODELS.build(model)))
