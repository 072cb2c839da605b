"""The authors' detectors, rebuilt from what is known of MMDetection 0.6."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from sge_mmdet.conversion import upgrade_legacy_detector
from tests.helpers.old_detectors import old_state_dict

LEGACY = Path(__file__).parents[2] / 'configs' / 'sge' / 'legacy'
CONFIGS = {
    path.name.split('_')[0]: path for path in LEGACY.glob('*_r50-sge_*.py')
}
KINDS = ('faster-rcnn', 'mask-rcnn', 'cascade-rcnn', 'retinanet')


@pytest.fixture(autouse=True, scope='module')
def registered():
    register_all_modules()


@pytest.mark.parametrize('kind', KINDS)
def test_old_checkpoint_loads_strictly_into_its_legacy_config(kind):
    model = MODELS.build(Config.fromfile(CONFIGS[kind]).model)
    state = upgrade_legacy_detector(old_state_dict(kind))
    model.load_state_dict(state, strict=True)


@pytest.mark.parametrize(
    'kind, head',
    [
        ('faster-rcnn', 'bbox_head'),
        ('mask-rcnn', 'bbox_head'),
        ('cascade-rcnn', 'bbox_head.0'),
        ('cascade-rcnn', 'bbox_head.2'),
    ],
)
def test_every_class_keeps_its_score_and_box(kind, head):
    """Weights and biases of class k move from row k to row k - 1."""
    old = old_state_dict(kind)
    new = upgrade_legacy_detector(old)
    x = torch.randn(5, 1024)

    def outputs(state, head, layer):
        return (
            x @ state[f'{head}.{layer}.weight'].T
            + state[f'{head}.{layer}.bias']
        )

    before = outputs(old, head, 'fc_cls').softmax(-1)
    after = outputs(new, f'roi_head.{head}', 'fc_cls').softmax(-1)
    torch.testing.assert_close(after[:, :80], before[:, 1:])
    torch.testing.assert_close(after[:, 80], before[:, 0])
    before = outputs(old, head, 'fc_reg')
    after = outputs(new, f'roi_head.{head}', 'fc_reg')
    if kind == 'cascade-rcnn':
        torch.testing.assert_close(after, before)
    else:
        torch.testing.assert_close(
            after.view(5, 80, 4), before.view(5, 81, 4)[:, 1:]
        )


def test_every_class_keeps_its_mask():
    old = old_state_dict('mask-rcnn')
    new = upgrade_legacy_detector(old)
    for part in 'weight', 'bias':
        assert torch.equal(
            new[f'roi_head.mask_head.conv_logits.{part}'],
            old[f'mask_head.conv_logits.{part}'][1:],
        )


@pytest.mark.parametrize('kind', KINDS)
def test_sigmoid_scores_and_shared_layers_stay_as_they_are(kind):
    """RPN and RetinaNet never had a background; nor had the other layers."""
    old = old_state_dict(kind)
    new = upgrade_legacy_detector(old)
    for key, value in old.items():
        if not any(
            name in key for name in ('fc_cls', 'fc_reg', 'conv_logits')
        ):
            moved = (
                f'roi_head.{key}'
                if kind != 'retinanet'
                and (key.startswith(('bbox_head', 'mask_head')))
                else key
            )
            assert torch.equal(new[moved], value), key


def test_head_with_other_rows_is_named():
    state = old_state_dict('faster-rcnn')
    state['bbox_head.fc_reg.weight'] = torch.zeros(320, 1024)
    with pytest.raises(ValueError, match=r'fc_reg.*: expected 4 or 324'):
        upgrade_legacy_detector(state)


def test_head_without_its_classes_is_named():
    with pytest.raises(ValueError, match=r'a bbox_head\.fc_cls\.weight'):
        upgrade_legacy_detector({'bbox_head.fc_reg.weight': torch.ones(4, 2)})
    with pytest.raises(
        ValueError, match=r'weight: expected .* rows, .* got 0'
    ):
        upgrade_legacy_detector(
            {
                'bbox_head.fc_cls.weight': torch.ones(2, 2),
                'bbox_head.fc_reg.weight': torch.tensor(1),
            }
        )


def test_counts_of_norms_in_heads_are_moved():
    state = {
        'bbox_head.fc_cls.weight': torch.ones(2, 2),
        'bbox_head.bn.num_batches_tracked': torch.tensor(7),
    }
    assert (
        upgrade_legacy_detector(state)[
            'roi_head.bbox_head.bn.num_batches_tracked'
        ]
        == 7
    )


def old_decode(boxes, deltas, stds, height, width):
    """Decode boxes as MMDetection 0.6 did, in numpy."""
    deltas = deltas * stds
    sizes = boxes[:, 2:] - boxes[:, :2] + 1
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2 + deltas[:, :2] * sizes
    half = (sizes * np.exp(deltas[:, 2:]) - 1) / 2
    decoded = np.concatenate([centers - half, centers + half], 1)
    return decoded.clip(0, np.array([width - 1, height - 1] * 2))


def coders(model):
    if 'roi_head' not in model:
        return [model.bbox_head.bbox_coder]
    heads = model.roi_head.bbox_head
    return [model.rpn_head.bbox_coder] + [
        head['bbox_coder']
        for head in (heads if isinstance(heads, list) else [heads])
    ]


@pytest.mark.parametrize('kind', KINDS)
def test_legacy_config_codes_boxes_the_old_way(kind):
    random = np.random.default_rng(0)
    corners = random.uniform(0, 500, (50, 2))
    boxes = np.concatenate(
        [corners, corners + random.uniform(0, 300, (50, 2))], 1
    )
    deltas = random.normal(0, 0.5, (50, 4))
    found = coders(Config.fromfile(CONFIGS[kind]).model)
    stds = (
        [
            [1.0] * 4,
            [0.1, 0.1, 0.2, 0.2],
            [0.05, 0.05, 0.1, 0.1],
            [0.033, 0.033, 0.067, 0.067],
        ]
        if kind == 'cascade-rcnn'
        else [[1.0] * 4, [0.1, 0.1, 0.2, 0.2]]
    )[: len(found)]
    assert len(found) == len(stds)
    for cfg, std in zip(found, stds):
        got = TASK_UTILS.build(cfg).decode(
            torch.tensor(boxes), torch.tensor(deltas), max_shape=(600, 700)
        )
        want = old_decode(boxes, deltas, np.array(std), 600, 700)
        np.testing.assert_allclose(got.numpy(), want, atol=1e-4)


@pytest.mark.parametrize('kind', ['faster-rcnn', 'retinanet'])
def test_legacy_config_has_the_old_anchors(kind):
    """Corners on whole pixels, of boxes that end at their last pixel."""
    model = Config.fromfile(CONFIGS[kind]).model
    if kind == 'retinanet':
        cfg, strides = model.bbox_head.anchor_generator, [8, 16, 32, 64, 128]
        scales = [4 * 2 ** (i / 3) for i in range(3)]
    else:
        cfg, strides = model.rpn_head.anchor_generator, [4, 8, 16, 32, 64]
        scales = [8.0]
    anchors = TASK_UTILS.build(cfg).grid_priors([(2, 3)] * 5, device='cpu')
    for stride, got in zip(strides, anchors):
        want = []
        for y in range(2):
            for x in range(3):
                for ratio in 0.5, 1.0, 2.0:
                    for scale in scales:
                        half = [
                            stride * scale * ratio**0.5 / 2 - 0.5,
                            stride * scale / ratio**0.5 / 2 - 0.5,
                        ]
                        center = (stride - 1) / 2
                        want.append(
                            [
                                np.round(center - half[1]) + x * stride,
                                np.round(center - half[0]) + y * stride,
                                np.round(center + half[1]) + x * stride,
                                np.round(center + half[0]) + y * stride,
                            ]
                        )
        np.testing.assert_allclose(got.numpy(), want)


@pytest.mark.parametrize('kind', ['faster-rcnn', 'mask-rcnn', 'cascade-rcnn'])
def test_legacy_config_keeps_proposals_of_one_pixel_and_the_old_overlap(kind):
    test = Config.fromfile(CONFIGS[kind]).model.test_cfg
    assert test.rpn.nms_pre == test.rpn.max_per_img == 2000
    assert test.rpn.nms.offset == test.rcnn.nms.offset == 1
    assert test.rpn.min_bbox_size == -1
    assert (
        test.rcnn.score_thr,
        test.rcnn.nms.iou_threshold,
        test.rcnn.max_per_img,
    ) == (0.05, 0.5, 100)
