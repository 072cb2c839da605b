"""MMDetection 0.6's pixels, for detectors that were trained with it.

There a box ended at its last pixel, so that its width was x2 - x1 + 1. Newer
versions let it end at the edge behind that pixel. MMDetection's Legacy box
coder and anchors keep the old reading; these parts do for what comes after.
"""
from typing import Any, Optional, Tuple

from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.registry import MODELS
from torch import Tensor


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
