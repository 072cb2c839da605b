"""Parts of a detector as modules that map an image to tensors."""

from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmcv.ops import RoIAlign
from mmdet.models.detectors import (
    BaseDetector,
    SingleStageDetector,
    TwoStageDetector,
)
from torch import Tensor, nn

from .postprocessing import (
    check_dense_head,
    check_roi_head,
    detect_densely,
    detect_in_rois,
    predict_masks,
)

PARTS = ('backbone', 'heads', 'detector')


class DeployedPart(nn.Module):
    """A detector, or a part of it, for export.

    The input "image" is float32 of shape (N, 3, H, W), normalised by the
    config's ``data_preprocessor``. With ``pixels`` it is uint8 as read from an
    image file (BGR, 0 to 255); the module then normalises it and pads it at
    the right and the bottom.

    Args:
        model (BaseDetector): Detector of MMDetection.
        part (str): Part of the detector: "backbone" returns its features,
            "heads" the raw outputs of a single-stage detector, and "detector"
            boxes, scores, labels, image indices and masks, if there are any.
            Default: "detector".
        pixels (bool): Whether the input is uint8 pixels. Default: False.

    Raises:
        ValueError: If the part is unknown.
        NotImplementedError: If the detector has a part that cannot be
            exported.
    """

    def __init__(
        self, model: BaseDetector, part: str = 'detector', pixels: bool = False
    ) -> None:
        super().__init__()
        if part not in PARTS:
            raise ValueError(
                f'part: expected one of {", ".join(PARTS)}, got {part!r}'
            )
        self.model: BaseDetector = model
        self.part, self.pixels = part, pixels
        if not isinstance(getattr(model, 'backbone', None), nn.Module):
            raise NotImplementedError(
                f'A {type(model).__name__} has no backbone of its own; export '
                'the detector inside it, with a config of that detector'
            )
        if part != 'backbone':
            _check_detector(model, part)
        _check_operators(model.backbone if part == 'backbone' else model)

    def forward(self, image: Tensor) -> Tuple[Tensor, ...]:
        """Return the outputs, in the order of :attr:`output_names`."""
        height, width = torch._shape_as_tensor(image)[2:].unbind()
        if self.pixels:
            image = self._pad(self.normalize(image), height, width)
        if self.part == 'backbone':
            return tuple(self.model.backbone(image))
        features = self.model.extract_feat(image)
        if self.part == 'heads':
            outputs = self.model.bbox_head(features)
            return tuple(level for output in outputs for level in output)
        border = torch.stack([width, height, width, height]).to(image)
        if isinstance(self.model, SingleStageDetector):
            found = detect_densely(self.model.bbox_head, features, border)
            return found.boxes, found.scores, found.labels, found.images
        proposals = detect_densely(self.model.rpn_head, features, border)
        head = self.model.roi_head
        found = detect_in_rois(
            head,
            features,
            proposals.rois,
            torch.arange(image.shape[0]).to(image),
            border,
        )
        masks: Tuple[Tensor, ...] = ()
        if head.with_mask:
            masks = (predict_masks(head, features, found),)
        return found.boxes, found.scores, found.labels, found.images, *masks

    def output_names(self, outputs: Sequence[Tensor]) -> List[str]:
        """Return a name for each of the outputs."""
        if self.part == 'detector':
            names = ['boxes', 'scores', 'labels', 'images', 'masks']
            return names[: len(outputs)]
        return [
            f'{"feature" if self.part == "backbone" else "output"}_{i}'
            for i in range(len(outputs))
        ]

    def normalize(self, pixels: Tensor) -> Tensor:
        """Normalise uint8 pixels of shape (N, 3, H, W).

        This is the data preprocessor of the model without its padding.
        """
        steps = self.model.data_preprocessor
        image = pixels.float()
        if steps._channel_conversion:
            image = image[:, [2, 1, 0]]
        if steps._enable_normalize:
            image = (image - steps.mean) / steps.std
        return image

    def _pad(self, image: Tensor, height: Tensor, width: Tensor) -> Tensor:
        steps = self.model.data_preprocessor
        divisor = steps.pad_size_divisor
        return F.pad(
            image,
            (0, -width % divisor, 0, -height % divisor),
            value=float(steps.pad_value),
        )


def _check_detector(model: BaseDetector, part: str) -> None:
    """Raise if the heads of a detector, or all of it, cannot be exported."""
    owner = next(
        (
            owner
            for owner, head in (
                (SingleStageDetector, 'bbox_head'),
                (TwoStageDetector, 'rpn_head'),
            )
            if isinstance(model, owner)
            and isinstance(getattr(model, head, None), nn.Module)
        ),
        None,
    )
    if (
        owner is None
        or type(model).predict is not owner.predict
        or (part == 'heads' and owner is TwoStageDetector)
    ):
        raise NotImplementedError(
            f'The part "{part}" of a {type(model).__name__} cannot be '
            'exported; export the backbone (--part backbone)'
        )
    if part == 'detector' and owner is SingleStageDetector:
        check_dense_head(model.bbox_head)
    elif part == 'detector':
        check_dense_head(model.rpn_head)
        check_roi_head(model.roi_head)


def _check_operators(model: nn.Module) -> None:
    """Raise if a module uses an operator of mmcv that ONNX lacks."""
    for name, module in model.named_modules():
        kind = type(module)
        if kind.__module__.startswith('mmcv.ops.') and kind is not RoIAlign:
            raise NotImplementedError(
                f"{name} is mmcv's {kind.__name__}, for which ONNX has no "
                'operator; only parts without it can be exported'
            )
