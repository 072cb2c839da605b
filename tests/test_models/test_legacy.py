import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict


def extractor(**options):
    return MODELS.build(
        dict(
            type='LegacySingleRoIExtractor',
            roi_layer=dict(
                type='RoIAlign', output_size=7, sampling_ratio=2, aligned=False
            ),
            out_channels=1,
            featmap_strides=[4, 8],
            **options,
        )
    )


@pytest.mark.parametrize('x1, x2', [(20, 90), (20, 21), (21.5, 21.5)])
def test_regions_are_pooled_up_to_the_end_of_their_last_pixel(x1, x2):
    """On a ramp every bin holds the position of its middle."""
    stride = 4
    ramp = torch.arange(40.0).repeat(40, 1)[None, None]
    rois = torch.tensor([[0, x1, 20, x2, 50.0]])
    got = extractor()([ramp, torch.zeros(1, 1, 20, 20)], rois)
    width = (x2 - x1 + 1) / stride / 7
    want = x1 / stride + (torch.arange(7) + 0.5) * width
    torch.testing.assert_close(got[0, 0], want.repeat(7, 1))


def test_level_is_chosen_by_the_size_with_the_last_pixel():
    """A box of 112 pixels is the smallest of the second level."""
    levels = [torch.full((1, 1, 40, 40), 1.0), torch.full((1, 1, 20, 20), 2.0)]
    rois = torch.tensor([[0, 0, 0, 111, 111.0], [0, 0, 0, 110, 110.0]])
    assert extractor()(levels, rois)[:, 0, 3, 3].tolist() == [2, 1]


def test_masks_fill_their_boxes_up_to_the_last_pixel():
    head = MODELS.build(
        dict(
            type='LegacyFCNMaskHead', num_convs=0, in_channels=8, num_classes=2
        )
    )
    boxes = torch.tensor([[20.0, 40.0, 38.0, 76.0]])  # in the scaled image
    masks = head._predict_by_feat_single(
        torch.full((1, 2, 28, 28), 9.0),
        boxes,
        torch.tensor([1]),
        dict(scale_factor=(2.0, 4.0), ori_shape=(50, 60)),
        ConfigDict(mask_thr_binary=0.5),
        rescale=True,
    )
    assert boxes.tolist() == [[10, 10, 19, 19]]
    rows, columns = masks[0].nonzero().T
    assert masks.sum() == 100
    assert (
        (columns.min(), columns.max()) == (rows.min(), rows.max()) == (10, 19)
    )
