"""ONNX export of detectors with SGE."""

import inspect
import json
import warnings
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

import torch
from mmdet.utils import register_all_modules
from mmengine.model import revert_sync_batchnorm
from mmengine.runner import load_checkpoint
from torch import Tensor, nn

from ..engine import check_model
from ..utils import Writer, build_model, get_model, load_config, quiet_log
from .graph import DeployedPart
from .packages import require_package

# The newest version that every supported PyTorch writes. NMS, RoIAlign with
# half pixels and TopK with a computed number need version 16.
OPSET = 17
# Key of the class names in the file's metadata, a list in JSON.
CLASSES = 'classes'


def load_detector(
    config: Union[str, Path], checkpoint: Optional[str] = None
) -> nn.Module:
    """Build a detector for inference on the CPU.

    Args:
        config (str or Path): Config of the detector.
        checkpoint (str, optional): File or URL of a checkpoint with all of its
            weights. Default: None, random weights.

    Raises:
        FileNotFoundError: If the config or checkpoint does not exist.
        RuntimeError: If the checkpoint belongs to another model.
        ValueError: If the config cannot be loaded, or has no model that can
            be built.
    """
    if (
        checkpoint
        and '://' not in checkpoint
        and not Path(checkpoint).is_file()
    ):
        raise FileNotFoundError(f'There is no checkpoint {checkpoint}')
    register_all_modules()
    cfg = load_config(config)
    check_model(get_model(cfg))
    detector = revert_sync_batchnorm(build_model(cfg))
    if checkpoint:
        with quiet_log():
            loaded = load_checkpoint(
                detector, checkpoint, map_location='cpu', strict=True
            )
        # MMDetection's init_detector stores it here as well.
        detector.dataset_meta = loaded.get('meta', {}).get('dataset_meta', {})
    detector.eval()
    return detector


def export_onnx(
    detector: nn.Module,
    out_file: Union[str, Path],
    part: str = 'detector',
    pixels: bool = False,
    size: Sequence[int] = (256, 320),
    overwrite: bool = False,
) -> DeployedPart:
    """Write a detector, or a part of it, as an ONNX file.

    Batch size, height and width are dynamic. If the detector has class names
    in ``dataset_meta``, they are written to the file's metadata. The tracing
    exporter of PyTorch is used: it supports NMS and RoIAlign, needs no other
    package, and writes the same operators as the exporter based on
    ``torch.export`` in a tenth of the time.

    Args:
        detector (nn.Module): Detector of MMDetection; it is set to evaluation
            mode.
        out_file (str or Path): File to write; its folder is created.
        part (str): Part to export: "backbone", "heads" or "detector"; see
            :class:`DeployedPart`. Default: "detector".
        pixels (bool): Whether the input is uint8 pixels, with normalisation
            and padding in the graph. Default: False.
        size (Sequence[int]): Height and width of the traced image, in pixels;
            the file accepts other sizes as well. Default: (256, 320).
        overwrite (bool): Whether to replace an existing file. Default:
            False.

    Returns:
        DeployedPart: Exported part, as a PyTorch module.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is false.
        ImportError: If onnx is not installed.
        NotImplementedError: If the detector has something that is not
            exported.
        OSError: If the file cannot be written.
        ValueError: If the part is unknown, or the size is below 32 pixels.
    """
    out_file = Path(out_file)
    writer = Writer(overwrite)
    writer.check(out_file)
    if len(size) != 2 or min(size) < 32:
        raise ValueError(
            'size: expected a height and a width of at least 32 pixels, '
            f'got {tuple(size)}'
        )
    require_package('onnx')
    deployed = DeployedPart(detector, part, pixels).eval()
    image = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    image = image if pixels else image / 64.0 - 2
    with writer.replacing(out_file) as file:
        _trace(deployed, image, file.name)
        _write_classes(file.name, detector)
    return deployed


def _trace(deployed: DeployedPart, image: Tensor, file: str) -> None:
    """Trace a part at one image and write it as ONNX."""
    # With inlining, NMS would not be exported as one operator. Older versions
    # of PyTorch have neither option.
    known = inspect.signature(torch.onnx.export).parameters
    options: Dict[str, Any] = {
        name: False
        for name in ('dynamo', 'autograd_inlining')
        if name in known
    }
    with torch.no_grad(), warnings.catch_warnings():
        names = deployed.output_names(deployed(image))
        # Silence shape-tracing warnings; other sizes are checked later.
        warnings.simplefilter('ignore')
        torch.onnx.export(
            deployed,
            (image,),
            file,
            opset_version=OPSET,
            input_names=['image'],
            output_names=names,
            dynamic_axes=_dynamic_axes(deployed.part, names),
            **options,
        )


def _dynamic_axes(part: str, names: List[str]) -> Dict[str, Dict[int, str]]:
    """Return names for the axes of input and outputs that may vary."""
    axes = {'image': {0: 'batch', 2: 'height', 3: 'width'}}
    for name in names:
        axes[name] = (
            {0: 'detections'}
            if part == 'detector'
            else {0: 'batch', 2: f'{name}_height', 3: f'{name}_width'}
        )
    return axes


def _write_classes(file: str, detector: nn.Module) -> None:
    """Write the class names of a detector into its file, if known."""
    names = getattr(detector, 'dataset_meta', {}).get('classes')
    if names:
        onnx = require_package('onnx')
        graph = onnx.load(file)
        onnx.helper.set_model_props(graph, {CLASSES: json.dumps(names)})
        onnx.save(graph, file)
