"""MMDetection 0.6's pixels, for detectors that were trained with it.

There a box ended at its last pixel, so that its width was x2 - x1 + 1. Newer
versions let it end at the edge behind that pixel. MMDetection's legacy anchors
keep the old reading; these parts do for all that comes after.
"""
from typing import Any, Optional, Tuple

import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.models.task_modules.coders import LegacyDeltaXYWHBBoxCoder
from mmdet.registry import MODELS, TASK_UTILS
from torch import Tensor


@TASK_UTILS.register_module()
class StrictLegacyDeltaXYWHBBoxCoder(LegacyDeltaXYWHBBoxCoder):
    """MMDetection 0.6's box coder, with boxes that end at their last pixel.

    MMDetection's own LegacyDeltaXYWHBBoxCoder widens the boxes that it
    decodes by half a pixel on each side, for want of the old reading in what
    follows. Options are the same.
    """

    def decode(self, bboxes: Tensor, pred_bboxes: Tensor,
               max_shape: Optional[Tuple[int, ...]] = None,
               wh_ratio_clip: float = 16 / 1000) -> Tensor:
        """Decode boxes.

        Args:
            bboxes (Tensor): Anchors or proposals, shape (n, 4), in pixels.
            pred_bboxes (Tensor): Predicted deltas, shape (n, 4) or
                (n, 4 * classes).
            max_shape (tuple[int], optional): Height and width of the image,
                which clips the boxes. Default: None.
            wh_ratio_clip (float): Bound of the change of size. Default:
                16 / 1000.

        Returns:
            Tensor: Boxes of the shape of ``pred_bboxes``.
        """
        wide = super().decode(bboxes, pred_bboxes,
                              wh_ratio_clip=wh_ratio_clip)
        decoded = wide.view(-1, 4) + wide.new_tensor([0.5, 0.5, -0.5, -0.5])
        if max_shape is not None:
            height, width = max_shape[:2]
            last = wide.new_tensor([width - 1, height - 1] * 2)
            decoded = torch.minimum(decoded.clamp(min=0), last)
        return decoded.view_as(wide)


@MODELS.register_module()
class LegacySingleRoIExtractor(SingleRoIExtractor):
    """SingleRoIExtractor for boxes that end at their last pixel.

    Use it with RoIAlign's ``aligned=False``. Options are those of
    ``SingleRoIExtractor``.
    """

    def forward(self,
                feats: Tuple[Tensor],
                rois: Tensor,
                roi_scale_factor: Optional[float] = None) -> Tensor:
        """Pool regions.

        Args:
            feats (tuple[Tensor]): Levels of shape (N, C, H, W).
            rois (Tensor): Shape (n, 5): image, x1, y1, x2, y2 in pixels.
            roi_scale_factor (float, optional): Factor of the regions' size.
                Default: None.

        Returns:
            Tensor: Features of shape (n, C, h, w).
        """
        return super().forward(feats, rois + rois.new_tensor([0, 0, 0, 1, 1]),
                               roi_scale_factor)


@MODELS.register_module()
class LegacyFCNMaskHead(FCNMaskHead):
    """FCNMaskHead for boxes that end at their last pixel.

    Options are those of ``FCNMaskHead``.
    """

    def _predict_by_feat_single(self, mask_preds: Tensor, bboxes: Tensor,
                                labels: Tensor, img_meta: dict,
                                rcnn_test_cfg: Any, rescale: bool = False,
                                activate_map: bool = False) -> Tensor:
        """Paste masks into whole boxes; as in FCNMaskHead otherwise."""
        # One pixel of the image that the mask is pasted into.
        scale = bboxes.new_tensor(img_meta['scale_factor']).repeat(2)
        pixel = (scale if rescale else scale.new_ones(4)) * scale.new_tensor(
            [0, 0, 1, 1])
        masks = super()._predict_by_feat_single(
            mask_preds, bboxes + pixel, labels, img_meta, rcnn_test_cfg,
            rescale, activate_map)
        # The parent rescales the boxes of the results in place as well.
        if rescale:
            bboxes /= scale
        return masks
