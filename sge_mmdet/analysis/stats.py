"""Tables of the parameters and operations of models."""

import difflib
from typing import Iterator, NamedTuple, Tuple

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from torch import Tensor, nn

from ..utils import build_model, build_part
from .complexity import (
    add_classifier,
    count_flops,
    count_flops_as_mmengine,
    count_parameters,
    detector_taking_image,
)
from .paper import PAPER_ROWS, PaperRow

HEADER = (
    f'{"model":26} {"input":>10} {"params":>10} {"GFLOPs":>9} '
    f'{"by MMEngine":>12}'
)
PAPER_HEADER = f'{HEADER}   {"paper:":7} {"params":>7} {"GFLOPs":>7}'


class ModelStats(NamedTuple):
    """Parameters and operations of a model at one size of image.

    Attributes:
        name (str): Name of the model.
        image (tuple[int, int]): Height and width of the model's input,
            including padding, in pixels.
        params (int): Number of parameters.
        flops (int): Operations, counted as the paper's authors do.
        mmengine_flops (int): Operations, counted as MMEngine does.
    """

    name: str
    image: Tuple[int, int]
    params: int
    flops: int
    mmengine_flops: int

    def line(self) -> str:
        """Return the model's line below :data:`HEADER`."""
        height, width = self.image
        return (
            f'{self.name:26} {f"{width}x{height}":>10} '
            f'{self.params / 1e6:9.2f}M {self.flops / 1e9:9.3f} '
            f'{self.mmengine_flops / 1e9:12.3f}'
        )

    def agrees_with(self, row: PaperRow) -> bool:
        """Return whether the figures round to the digits in the paper."""
        digits = len(row.gflops.partition('.')[2])
        return (
            f'{self.params / 1e6:.2f}' == row.params
            and f'{self.flops / 1e9:.{digits}f}' == row.gflops
        )


def measure(name: str, model: nn.Module, image: Tensor) -> ModelStats:
    """Count a model whose only input is an image of shape (1, 3, H, W)."""
    return ModelStats(
        name,
        (image.shape[2], image.shape[3]),
        count_parameters(model),
        count_flops(model, image),
        count_flops_as_mmengine(model, image),
    )


def backbone_stats(
    backbone: dict, image: Tuple[int, int], classifier: bool = False
) -> ModelStats:
    """Count a backbone for an image without padding.

    Args:
        backbone (dict): Config of the backbone.
        image (tuple[int, int]): Height and width of the image, in pixels.
        classifier (bool): Whether to add the ImageNet classifier. Default:
            False.

    Raises:
        ValueError: If the backbone cannot be built or take a classifier.
    """
    model = revert_sync_batchnorm(_build_backbone(backbone))
    if classifier:
        if not hasattr(model, 'feat_dim'):
            raise ValueError(
                f'{backbone["type"]} does not say its number of '
                'channels (feat_dim); a classifier can be added '
                'to a ResNet'
            )
        model = add_classifier(model)
    name = (
        f'{type(model).__name__}'
        if not classifier
        else (f'{type(model[0]).__name__} classifier')
    )
    return measure(name, model, torch.rand(1, 3, *image))


def config_stats(cfg: Config, image: Tuple[int, int]) -> Iterator[ModelStats]:
    """Count a detector's backbone, then the whole detector.

    The detector gets the image with the padding of its data preprocessor. The
    operations of a two-stage detector depend on its proposals; here they come
    from its initial weights.

    Args:
        cfg (Config): Config of a detector.
        image (tuple[int, int]): Height and width of the image, in pixels.

    Raises:
        ValueError: If the config has no model that can be built, or its
            detector needs more than an image.
    """
    model = revert_sync_batchnorm(build_model(cfg))
    # Semi-supervised and tracking models contain a detector.
    detector = getattr(model, 'student', getattr(model, 'detector', model))
    yield measure(
        f'backbone {type(detector.backbone).__name__}',
        detector.backbone,
        torch.rand(1, 3, *image),
    )
    name = type(detector).__name__
    try:
        with detector_taking_image(detector, *image) as padded:
            stats = measure(f'detector {name}', detector, padded)
    except Exception as error:
        # Detectors that need proposals or texts raise errors of any type.
        raise ValueError(
            f'{name} cannot be counted as a whole, because it needs more '
            f'than an image: {type(error).__name__}: {error}'
        ) from error
    yield stats


def paper_stats() -> 'Iterator[Tuple[ModelStats, PaperRow]]':
    """Yield the figures of each model in the paper and its printed row."""
    for row in PAPER_ROWS:
        stats = backbone_stats(row.backbone, row.image, row.is_classifier)
        yield stats._replace(name=row.name), row


def _is_registered(name: str) -> bool:
    try:
        return MODELS.get(name) is not None
    except KeyError:
        # The registry raises it for SGE<Name> where no class <Name> exists.
        return False


def _build_backbone(backbone: dict) -> nn.Module:
    name = backbone['type']
    if isinstance(name, str) and not _is_registered(name):
        known = sorted(MODELS.module_dict)
        near = difflib.get_close_matches(name, known)
        raise ValueError(
            f'There is no backbone {name}; name the type of one, such as '
            f'{" or ".join(near or ["SGEResNet"])}, or a config, a file that '
            'ends with .py'
        )
    try:
        return build_part(backbone)
    except Exception as error:
        # A constructor answers bad options with any type of error.
        hint = ''
        if "'depth'" in str(error) and 'missing' in str(error):
            hint = '; give it with --cfg-options depth=50'
        raise ValueError(
            f'{name} cannot be built: {type(error).__name__}: {error}{hint}'
        ) from error
