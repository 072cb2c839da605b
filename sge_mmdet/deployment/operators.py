"""NMS and RoIAlign as operators that the ONNX exporter supports.

mmcv's NMS cannot be exported, and its RoIAlign only to versions of ONNX that
PyTorch no longer writes. Both run mmcv's kernels in PyTorch.
"""

from typing import Any

import torch
from mmcv.ops import nms, roi_align
from torch import Tensor


class NonMaxSuppression(torch.autograd.Function):
    """Greedy NMS of each image of a batch, without classes.

    ``apply(boxes, scores, iou_threshold, max_per_image)`` takes boxes of
    shape (N, n, 4) as x1, y1, x2, y2 and scores of shape (N, n); boxes without
    a positive score are dropped. It returns int64 rows (image, 0, box) of
    shape (K, 3), sorted by image and then by falling score.
    """

    @staticmethod
    def forward(
        ctx: Any,
        boxes: Tensor,
        scores: Tensor,
        iou_threshold: float,
        max_per_image: int,
    ) -> Tensor:
        """Run mmcv's NMS on every image."""
        rows = []
        for image, (box, score) in enumerate(zip(boxes, scores)):
            there = (score > 0).nonzero()[:, 0]
            kept = nms(box[there], score[there], iou_threshold)[1]
            kept = there[kept[:max_per_image]]
            zero = torch.zeros_like(kept)
            rows.append(torch.stack([zero + image, zero, kept], 1))
        return torch.cat(rows)

    @staticmethod
    def symbolic(
        g: Any,
        boxes: Any,
        scores: Any,
        iou_threshold: float,
        max_per_image: int,
    ) -> Any:
        """Return the ONNX operator."""
        limits = [
            torch.tensor([max_per_image]),
            torch.tensor([iou_threshold]),
            torch.tensor([0.0]),
        ]
        axis = g.op('Constant', value_t=torch.tensor([1]))
        return g.op(
            'NonMaxSuppression',
            boxes,
            g.op('Unsqueeze', scores, axis),
            *(g.op('Constant', value_t=limit) for limit in limits),
        )


class RoIAlign(torch.autograd.Function):
    """Average RoIAlign.

    ``apply(features, rois, height, width, scale, sampling_ratio, aligned)``
    takes RoIs as rows (image, x1, y1, x2, y2) and returns features of shape
    (K, C, height, width).
    """

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        rois: Tensor,
        height: int,
        width: int,
        scale: float,
        sampling_ratio: int,
        aligned: bool,
    ) -> Tensor:
        """Run mmcv's RoIAlign."""
        return roi_align(
            features,
            rois,
            (height, width),
            scale,
            sampling_ratio,
            'avg',
            aligned,
        )

    @staticmethod
    def symbolic(
        g: Any,
        features: Any,
        rois: Any,
        height: int,
        width: int,
        scale: float,
        sampling_ratio: int,
        aligned: bool,
    ) -> Any:
        """Return the ONNX operator."""

        def columns(index: Any) -> Any:
            index = g.op('Constant', value_t=torch.tensor(index))
            return g.op('Gather', rois, index, axis_i=1)

        images = g.op('Cast', columns(0), to_i=7)  # int64
        return g.op(
            'RoiAlign',
            features,
            columns([1, 2, 3, 4]),
            images,
            mode_s='avg',
            output_height_i=height,
            output_width_i=width,
            spatial_scale_f=scale,
            sampling_ratio_i=sampling_ratio,
            coordinate_transformation_mode_s='half_pixel'
            if aligned
            else 'output_half_pixel',
        )
