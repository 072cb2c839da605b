"""Post-processing from features to boxes, in operators that ONNX supports.

The result is that of MMDetection's ``predict``, but for a whole batch and
without branches on values, which a trace would fix. Boxes that MMDetection
drops get the score 0. The detections of a batch are rows, sorted by image.
"""

from typing import Any, List, NamedTuple, Optional, Tuple

import torch
from mmcv.ops import RoIAlign as MMCVRoIAlign
from mmdet.models.dense_heads import RPNHead
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.models.task_modules.coders import (
    DeltaXYWHBBoxCoder,
    DistancePointBBoxCoder,
)
from mmengine.config import ConfigDict
from torch import Tensor, nn

from .operators import NonMaxSuppression, RoIAlign

Maps = Tuple[Tensor, ...]
# Methods that a head must not override, because this module replaces them.
DENSE_METHODS = (
    'predict',
    'predict_by_feat',
    '_predict_by_feat_single',
    '_bbox_post_process',
)
NO_LIMIT = 2**31 - 1


class Detections(NamedTuple):
    """Rows of detections.

    Attributes:
        images (Tensor): Indices into the batch, int64 of shape (K,).
        boxes (Tensor): Corners x1, y1, x2, y2 in pixels of the input, of shape
            (K, 4).
        scores (Tensor): Scores of shape (K,), falling within an image.
        labels (Tensor): Labels, int64 of shape (K,).
    """

    images: Tensor
    boxes: Tensor
    scores: Tensor
    labels: Tensor

    @property
    def rois(self) -> Tensor:
        """Tensor: Boxes as rows (image, x1, y1, x2, y2), of shape (K, 5)."""
        return torch.cat([self.images[:, None].to(self.boxes), self.boxes], 1)


def check_dense_head(head: BaseDenseHead) -> None:
    """Raise unless :func:`detect_densely` can replace a head's ``predict``.

    Args:
        head (BaseDenseHead): Dense head or RPN head.

    Raises:
        NotImplementedError: If it cannot be exported; the message says why.
    """
    owner = RPNHead if isinstance(head, RPNHead) else BaseDenseHead
    own = [
        name
        for name in DENSE_METHODS
        if getattr(type(head), name, None) is not getattr(owner, name)
    ]
    if own:
        raise NotImplementedError(
            f'{type(head).__name__} computes its boxes in its own way '
            f'({", ".join(own)}), which cannot be exported; export its raw '
            'outputs (--part heads, for single-stage detectors) or the '
            'backbone (--part backbone), and compute the boxes afterwards'
        )
    if not hasattr(head, 'loss_cls'):
        raise NotImplementedError(
            f'{type(head).__name__} has no loss_cls, which '
            "MMDetection's own predict needs; export the backbone "
            '(--part backbone)'
        )
    _check_coder(head)
    if head.test_cfg.max_per_img <= 0:
        raise NotImplementedError(
            f'{type(head).__name__} without a limit of detections cannot be '
            f'exported, got max_per_img={head.test_cfg.max_per_img}; set '
            'test_cfg.max_per_img to a positive number'
        )


def check_roi_head(head: StandardRoIHead) -> None:
    """Raise unless :func:`detect_in_rois` can replace a head's ``predict``.

    Args:
        head (StandardRoIHead): Second stage of a detector.

    Raises:
        NotImplementedError: If it cannot be exported; the message says why.
    """
    if type(head) not in (StandardRoIHead, CascadeRoIHead):
        raise NotImplementedError(
            'Expected a StandardRoIHead or a CascadeRoIHead, got a '
            f'{type(head).__name__}, which cannot be exported; export the '
            'backbone (--part backbone)'
        )
    extractors = [*_stages(head.bbox_roi_extractor)]
    if head.with_mask:
        extractors += _stages(head.mask_roi_extractor)
        for mask_head in _stages(head.mask_head):
            if type(mask_head) is not FCNMaskHead:
                raise NotImplementedError(
                    'Expected an FCNMaskHead, got a '
                    f'{type(mask_head).__name__}, which cannot be exported; '
                    'export the backbone (--part backbone)'
                )
    for extractor in extractors:
        _check_extractor(extractor)
    for bbox_head in _stages(head.bbox_head):
        if (
            type(bbox_head)._predict_by_feat_single
            is not BBoxHead._predict_by_feat_single
            or not bbox_head.with_reg
        ):
            raise NotImplementedError(
                f'{type(bbox_head).__name__} computes its boxes in its own '
                'way, which cannot be exported; export the backbone '
                '(--part backbone)'
            )
        _check_coder(bbox_head)


def _check_extractor(extractor: Any) -> None:
    layer = extractor.roi_layers[0]
    if (
        type(extractor) is not SingleRoIExtractor
        or not isinstance(layer, MMCVRoIAlign)
        or layer.pool_mode != 'avg'
    ):
        raise NotImplementedError(
            'Expected a SingleRoIExtractor with an average RoIAlign, got a '
            f'{type(extractor).__name__} with {layer}, which cannot be '
            'exported; export the backbone (--part backbone)'
        )


def detect_densely(
    head: BaseDenseHead, features: Maps, border: Tensor
) -> Detections:
    """Return the detections of a dense head, or the proposals of an RPN.

    Args:
        head (BaseDenseHead): Head that :func:`check_dense_head` accepts.
        features (tuple[Tensor]): Levels, each of shape (N, C, H, W).
        border (Tensor): Width, height, width and height of the images, in
            pixels; shape (4,).
    """
    cfg = head.test_cfg
    is_rpn = isinstance(head, RPNHead)
    outs = head(features)
    factors = outs[2] if len(outs) > 2 else [None] * len(outs[0])
    priors = head.prior_generator.grid_priors(
        [level.shape[2:] for level in outs[0]],
        dtype=outs[0][0].dtype,
        device=outs[0][0].device,
    )
    levels = []
    for i, level in enumerate(zip(*outs[:2], factors, priors)):
        boxes, scores, labels = _best_of_level(head, *level)
        # RPN has one class and runs NMS on each level separately.
        levels.append((boxes, scores, labels + i if is_rpn else labels))
    boxes, scores, labels = (torch.cat(parts, 1) for parts in zip(*levels))
    boxes = _clip(boxes, border, head.bbox_coder)
    if cfg.get('min_bbox_size', -1) >= 0:
        sides = boxes[..., 2:] - boxes[..., :2]
        is_large = (sides > cfg.min_bbox_size).all(-1)
        scores = torch.where(is_large, scores, 0.0)
    found = _suppress(boxes, scores, labels, cfg)
    return found._replace(labels=found.labels * 0) if is_rpn else found


def detect_in_rois(
    head: StandardRoIHead,
    features: Maps,
    rois: Tensor,
    count: Tensor,
    border: Tensor,
) -> Detections:
    """Return the detections of the second stage, or of a cascade.

    Args:
        head (StandardRoIHead): Head that :func:`check_roi_head` accepts.
        features (tuple[Tensor]): Levels, each of shape (N, C, H, W).
        rois (Tensor): Proposals as rows (image, x1, y1, x2, y2).
        count (Tensor): Numbers from 0 to N - 1, of shape (N,).
        border (Tensor): Width, height, width and height of the images, in
            pixels; shape (4,).
    """
    cfg = head.test_cfg
    logits: Any = 0.0
    extractors, heads = map(_stages, (head.bbox_roi_extractor, head.bbox_head))
    for extractor, bbox_head in zip(extractors, heads):
        pooled = _shared(head, _pool(extractor, features, rois))
        of_stage, deltas = bbox_head(pooled)
        logits = logits + of_stage
        if bbox_head is not heads[-1]:
            rois = _refine(bbox_head, rois, of_stage, deltas, border)
    scores = (logits / len(heads)).softmax(-1)[:, :-1]
    scores = torch.where(scores > cfg.score_thr, scores, 0.0)
    classes = scores.shape[1]
    boxes = _decode_classes(bbox_head, rois, deltas, border, classes)
    labels = torch.arange(classes, device=rois.device).expand_as(scores)
    # Each image gets all boxes; those of other images get the score 0.
    is_own = rois[:, :1].expand_as(scores).reshape(1, -1) == count[:, None]
    scores = torch.where(is_own, scores.reshape(1, -1), 0.0)
    return _suppress(
        boxes.expand(scores.shape[0], -1, -1),
        scores,
        labels.reshape(1, -1).expand_as(scores),
        cfg,
    )


def _refine(
    bbox_head: Any,
    rois: Tensor,
    logits: Tensor,
    deltas: Tensor,
    border: Tensor,
) -> Tensor:
    """Return the RoIs of the next stage of a cascade."""
    boxes = bbox_head.regress_by_class(
        rois[:, 1:], logits[:, :-1].argmax(1), deltas, dict(img_shape=None)
    )
    boxes = _clip(boxes, border, bbox_head.bbox_coder)
    return torch.cat([rois[:, :1], boxes], 1)


def _decode_classes(
    bbox_head: Any,
    rois: Tensor,
    deltas: Tensor,
    border: Tensor,
    classes: int,
) -> Tensor:
    """Return a box for each RoI and class, of shape (1, K * classes, 4)."""
    each = 1 if bbox_head.reg_class_agnostic else classes
    boxes = bbox_head.bbox_coder.decode(
        rois[:, 1:].repeat_interleave(each, 0), deltas.reshape(-1, 4)
    )
    boxes = _clip(boxes, border, bbox_head.bbox_coder).reshape(-1, each, 4)
    return boxes.expand(-1, classes, -1).reshape(1, -1, 4)


def predict_masks(
    head: StandardRoIHead, features: Maps, detections: Detections
) -> Tensor:
    """Return the masks of detections, relative to their boxes.

    Args:
        head (StandardRoIHead): Head that :func:`check_roi_head` accepts.
        features (tuple[Tensor]): Levels, each of shape (N, C, H, W).
        detections (Detections): Boxes to predict masks in.

    Returns:
        Tensor: Probabilities of shape (K, h, w), such as (K, 28, 28).
    """
    total: Any = 0.0
    heads = _stages(head.mask_head)
    for extractor, mask_head in zip(_stages(head.mask_roi_extractor), heads):
        masks = mask_head(
            _shared(head, _pool(extractor, features, detections.rois))
        )
        if mask_head.class_agnostic:
            total = total + masks[:, 0].sigmoid()
            continue
        label = detections.labels[:, None, None, None].expand(
            -1, 1, *masks.shape[2:]
        )
        total = total + masks.gather(1, label)[:, 0].sigmoid()
    return total / len(heads)


def _best_of_level(
    head: BaseDenseHead,
    scores: Tensor,
    deltas: Tensor,
    factor: Optional[Tensor],
    priors: Tensor,
) -> Tuple[Tensor, Tensor, Tensor]:
    """Return boxes, scores and labels of the best candidates of a level."""
    scores = _rows(scores, head.cls_out_channels)
    scores = (
        scores.sigmoid()
        if head.use_sigmoid_cls
        else scores.softmax(-1)[..., :-1]
    )
    classes = scores.shape[-1]
    scores = scores.flatten(1)
    limit = head.test_cfg.get('nms_pre', -1)
    # A tensor, which a trace keeps as a variable.
    number: Any = torch._shape_as_tensor(scores)[1]
    if limit > 0:
        number = torch.minimum(number, torch.tensor(limit))
    scores, index = scores.topk(number, 1)
    place, labels = index // classes, index % classes
    if not isinstance(head, RPNHead):
        threshold = head.test_cfg.get('score_thr', 0)
        scores = torch.where(scores > threshold, scores, 0.0)
    if factor is not None:
        scores = scores * factor.permute(0, 2, 3, 1).flatten(
            1
        ).sigmoid().gather(1, place)
    deltas = _rows(deltas, 4)
    deltas = deltas.gather(1, place[..., None].expand(-1, -1, 4))
    boxes = head.bbox_coder.decode(
        priors[place].flatten(0, 1), deltas.flatten(0, 1)
    ).view_as(deltas)
    return boxes, scores, labels


def _suppress(
    boxes: Tensor, scores: Tensor, labels: Tensor, cfg: ConfigDict
) -> Detections:
    """Run NMS on each class, as mmcv's ``batched_nms``."""
    options = dict(cfg.nms)
    kind = options.pop('type', 'nms')
    iou_threshold = options.pop('iou_threshold', None)
    is_agnostic = options.pop('class_agnostic', False)
    options.pop('split_thr', None)
    if kind != 'nms' or iou_threshold is None or options:
        raise NotImplementedError(
            'Expected nms=dict(type="nms", iou_threshold=...), the only kind '
            f'that can be exported, got nms={dict(cfg.nms)}'
        )
    apart = boxes
    if not is_agnostic:
        last = torch.where(scores > 0, boxes.amax(-1), 0.0).amax(1)
        step = labels.to(boxes) * (last + 1)[:, None]
        apart = boxes + step[..., None]
    # 0 or less is no limit, as in mmdet's multiclass_nms.
    limit = int(cfg.max_per_img)
    rows = NonMaxSuppression.apply(
        apart, scores, float(iou_threshold), limit if limit > 0 else NO_LIMIT
    )
    image, index = rows[:, 0], rows[:, 2]
    place = image * torch._shape_as_tensor(scores)[1] + index
    return Detections(
        image,
        boxes.reshape(-1, 4)[place],
        scores.reshape(-1)[place],
        labels.reshape(-1)[place],
    )


def _pool(
    extractor: SingleRoIExtractor, features: Maps, rois: Tensor
) -> Tensor:
    """Return the features of RoIs, each from the level that fits its size."""
    layers = extractor.roi_layers
    level = extractor.map_roi_levels(rois, len(layers))
    pooled, order = [], []
    for i, layer in enumerate(layers):
        rows = (level == i).nonzero()[:, 0]
        pooled.append(
            RoIAlign.apply(
                features[i],
                rois[rows],
                *layer.output_size,
                layer.spatial_scale,
                max(layer.sampling_ratio, 0),
                layer.aligned,
            )
        )
        order.append(rows)
    return torch.cat(pooled)[torch.cat(order).argsort()]


def _rows(level: Tensor, channels: int) -> Tensor:
    """Reshape an output of a level to (N, priors, channels)."""
    return level.permute(0, 2, 3, 1).reshape(level.shape[0], -1, channels)


def _clip(boxes: Tensor, border: Tensor, coder: Any) -> Tensor:
    if not coder.clip_border:
        return boxes
    return torch.minimum(boxes.clamp(min=0), border)


def _shared(head: StandardRoIHead, pooled: Tensor) -> Tensor:
    return head.shared_head(pooled) if head.with_shared_head else pooled


def _stages(part: nn.Module) -> List[Any]:
    return [*part] if isinstance(part, nn.ModuleList) else [part]


def _check_coder(head: Any) -> None:
    if type(head.bbox_coder) not in (
        DeltaXYWHBBoxCoder,
        DistancePointBBoxCoder,
    ):
        raise NotImplementedError(
            'Expected a DeltaXYWHBBoxCoder or a DistancePointBBoxCoder, got '
            f'a {type(head.bbox_coder).__name__}, which cannot be exported; '
            'export the backbone (--part backbone)'
        )
    if getattr(head.loss_cls, 'custom_cls_channels', False):
        raise NotImplementedError(
            f'The scores of a {type(head.loss_cls).__name__} cannot be '
            'exported; export the backbone (--part backbone)'
        )
