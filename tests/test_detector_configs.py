"""Configs of detectors beyond those of the paper."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.structures import InstanceData

from sge_mmdet import SpatialGroupEnhance
from sge_mmdet.conversion.parts import build_without_weights

pytestmark = pytest.mark.filterwarnings('ignore:insert_sge.*single channel')
FOLDER = Path(__file__).parents[1] / 'configs' / 'detectors'
CONFIGS = sorted(FOLDER.glob('*.py'))
DEMO = FOLDER.parent / 'demo' / 'rtmdet_tiny-sge_400i_digits.py'
TRAINED = [*[path for path in CONFIGS if '_tiny-' in path.name], DEMO]


def load(path):
    register_all_modules()
    try:
        return Config.fromfile(path)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f'an optional package is missing: {error}')


def sge_layers(module):
    return [
        part
        for part in module.modules()
        if isinstance(part, SpatialGroupEnhance)
    ]


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_config_adds_sge_to_the_backbone_in_five_lines(path):
    lines = [line for line in path.read_text().splitlines() if line]
    assert len(lines) <= 5
    cfg = load(path)
    _, _, name = lines[0].partition('mmdet::')
    assert Path(name.strip("'")).stem == path.stem.replace('-sge', '')
    assert 'sge_mmdet' in cfg.custom_imports.imports
    layers = sge_layers(build_without_weights(cfg.model.backbone))
    assert layers and all(layer.factor is not None for layer in layers)


@pytest.mark.parametrize('path', TRAINED, ids=lambda path: path.stem)
def test_tiny_detector_trains_and_predicts(path):
    torch.manual_seed(0)
    cfg = load(path)
    cfg.model.backbone.init_cfg = None
    cfg.model.data_preprocessor.batch_augments = None
    cfg.model.bbox_head.num_classes = 3
    model = MODELS.build(cfg.model)
    model.init_weights()
    layers = sge_layers(model.backbone)
    # Larger steps would make YOLOX diverge with the rounding of some backends.
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), 1e-4))
    batch = dict(
        inputs=[torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)] * 2,
        data_samples=[sample(), sample()],
    )
    model.train()
    losses = [model.train_step(batch, optimizer)['loss'] for _ in range(3)]
    assert torch.isfinite(torch.stack(losses)).all()
    assert all(layer.weight.any() for layer in layers)
    model.eval()
    results = model.test_step(batch)
    assert len(results) == 2
    for result in results:
        assert torch.isfinite(result.pred_instances.bboxes).all()


def sample():
    """Two objects in an image of 64 x 64 pixels."""
    held = DetDataSample(
        metainfo=dict(
            img_shape=(64, 64),
            ori_shape=(64, 64),
            scale_factor=(1.0, 1.0),
            batch_input_shape=(64, 64),
            img_id=0,
        )
    )
    held.gt_instances = InstanceData(
        bboxes=torch.tensor(
            [[4.0, 4.0, 36.0, 36.0], [20.0, 24.0, 60.0, 60.0]]
        ),
        labels=torch.tensor([0, 2]),
    )
    return held
