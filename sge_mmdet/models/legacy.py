"""Legacy box coordinates, for detectors trained with MMDetection 0.6.

In MMDetection 0.6 a box ended at its last pixel, so that its width was
x2 - x1 + 1. In newer versions it ends at the edge after that pixel.
MMDetection's legacy anchors keep the old convention; these classes keep it in
the later stages as well.
"""

from typing import Any, Optional, Sequence, Tuple

import torch
from mmcv.ops import RoIAlign
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.models.task_modules.coders import LegacyDeltaXYWHBBoxCoder
from mmdet.registry import MODELS, TASK_UTILS
from torch import Tensor, nn

from ..utils.registration import register


@register(TASK_UTILS)
class StrictLegacyDeltaXYWHBBoxCoder(LegacyDeltaXYWHBBoxCoder):
    """MMDetection 0.6's box coder, with boxes that end at their last pixel.

    MMDetection's own LegacyDeltaXYWHBBoxCoder widens decoded boxes by half a
    pixel on each side, because later stages no longer use legacy coordinates.
    The options are the same.
    """

    def decode(
        self,
        bboxes: Tensor,
        pred_bboxes: Tensor,
        max_shape: Optional[Tuple[int, ...]] = None,
        wh_ratio_clip: float = 16 / 1000,
    ) -> Tensor:
        """Decode boxes.

        Args:
            bboxes (Tensor): Anchors or proposals, shape (n, 4), in pixels.
            pred_bboxes (Tensor): Predicted deltas, shape (n, 4) or
                (n, 4 * classes).
            max_shape (tuple[int], optional): Height and width of the image,
                which clips the boxes. Default: None.
            wh_ratio_clip (float): Lower bound of the ratio by which a width
                or height changes. Default: 16 / 1000.

        Returns:
            Tensor: Boxes of the shape of ``pred_bboxes``.
        """
        wide = super().decode(bboxes, pred_bboxes, wh_ratio_clip=wh_ratio_clip)
        decoded = wide.view(-1, 4) + wide.new_tensor([0.5, 0.5, -0.5, -0.5])
        if max_shape is not None:
            height, width = max_shape[:2]
            last = wide.new_tensor([width - 1, height - 1] * 2)
            decoded = torch.minimum(decoded.clamp(min=0), last)
        return decoded.view_as(wide)


@register(MODELS)
class LegacySingleRoIExtractor(SingleRoIExtractor):
    """SingleRoIExtractor for boxes that end at their last pixel.

    The options are those of ``SingleRoIExtractor``. RoIAlign is that of
    MMDetection 0.6 for any value of ``aligned``.
    """

    def build_roi_layers(
        self, layer_cfg: dict, featmap_strides: Sequence[int]
    ) -> nn.ModuleList:
        """Build the RoIAlign of each level."""
        return nn.ModuleList(
            _LegacyRoIAlign(layer)
            for layer in super().build_roi_layers(
                dict(layer_cfg, aligned=True), featmap_strides
            )
        )

    def map_roi_levels(self, rois: Tensor, num_levels: int) -> Tensor:
        """Return each RoI's level; its size includes the last pixel."""
        return super().map_roi_levels(
            rois + rois.new_tensor([0, 0, 0, 1, 1]), num_levels
        )


class _LegacyRoIAlign(nn.Module):
    """RoIAlign of RoIs from x1 to x2 + 1, without a shift of the samples.

    mmcv's ``aligned=False`` enlarges RoIs that are smaller than one cell of
    the feature map, which MMDetection 0.6 did not do. This class uses
    ``aligned=True`` and undoes its shift by half a cell.
    """

    def __init__(self, layer: RoIAlign) -> None:
        super().__init__()
        self.layer: RoIAlign = layer
        self.output_size = layer.output_size

    def forward(self, features: Tensor, rois: Tensor) -> Tensor:
        """Pool RoIs of shape (n, 5) from features of shape (N, C, H, W)."""
        half = 0.5 / self.layer.spatial_scale
        shift = rois.new_tensor([0, half, half, half + 1, half + 1])
        return self.layer(features, rois + shift)


@register(MODELS)
class LegacyFCNMaskHead(FCNMaskHead):
    """FCNMaskHead for boxes that end at their last pixel.

    The options are those of ``FCNMaskHead``.
    """

    def _predict_by_feat_single(
        self,
        mask_preds: Tensor,
        bboxes: Tensor,
        labels: Tensor,
        img_meta: dict,
        rcnn_test_cfg: Any,
        rescale: bool = False,
        activate_map: bool = False,
    ) -> Tensor:
        """Paste masks into boxes that include their last pixel."""
        # Adds one pixel of the target image to x2 and y2.
        scale = bboxes.new_tensor(img_meta['scale_factor']).repeat(2)
        pixel = (scale if rescale else scale.new_ones(4)) * scale.new_tensor(
            [0, 0, 1, 1]
        )
        masks = super()._predict_by_feat_single(
            mask_preds,
            bboxes + pixel,
            labels,
            img_meta,
            rcnn_test_cfg,
            rescale,
            activate_map,
        )
        # The parent rescales the boxes of the results in place as well.
        if rescale:
            bboxes /= scale
        return masks
