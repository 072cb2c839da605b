"""ONNX files of detectors with SGE."""

import inspect
import json
import warnings
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Union

import torch
from mmdet.utils import register_all_modules
from mmengine.model import revert_sync_batchnorm
from mmengine.runner import load_checkpoint
from torch import nn

from ..engine import check_model
from ..utils import Writer, build_model, get_model, load_config, quiet_log
from .graph import DeployedPart
from .packages import require_package

# The newest one that every supported PyTorch writes; NMS, RoIAlign with its
# half pixels and TopK of a computed number need 16.
OPSET = 17
# Of the file's metadata: names as a list in JSON.
CLASSES = 'classes'


def load_detector(
    config: Union[str, Path], checkpoint: Optional[str] = None
) -> nn.Module:
    """Build a detector for inference on the CPU.

    Args:
        config (str or Path): Its config.
        checkpoint (str, optional): Its weights, a file or an address; all of
            them must be there. Default: None, random ones.

    Raises:
        FileNotFoundError: If there is no such config or checkpoint.
        RuntimeError: If the checkpoint is of another model.
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
        # Where MMDetection's init_detector puts it.
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

    Batch, height and width are free. The names of the classes, where the
    detector has them as ``dataset_meta``, are in the file's metadata. It uses
    PyTorch's exporter that traces: it takes NMS and RoIAlign as they are,
    needs no other package, and writes the operators that the one built on
    ``torch.export`` does in a tenth of the time.

    Args:
        detector (nn.Module): An MMDetection detector; it is put into
            evaluation mode.
        out_file (str or Path): The file; its folder is made.
        part (str): "backbone", "heads" or "detector"; see
            :class:`DeployedPart`. Default: "detector".
        pixels (bool): Whether the input is uint8 pixels, with normalisation
            and padding in the graph. Default: False.
        size (Sequence[int]): Height and width of the image that is traced,
            in pixels; the file takes others as well. Default: (256, 320).
        overwrite (bool): Whether to replace an existing file. Default:
            False.

    Returns:
        DeployedPart: What was written, as a PyTorch module.

    Raises:
        FileExistsError: If the file is there and not to be replaced.
        ImportError: If onnx is not installed.
        NotImplementedError: If the detector has something that is not
            exported.
        OSError: If the file cannot be written.
        ValueError: If the part or the size is not one that there is.
    """
    out_file = Path(out_file)
    writer = Writer(overwrite)
    writer.check(out_file)
    if len(size) != 2 or min(size) < 32:
        raise ValueError(
            'size is a height and a width of at least 32 '
            f'pixels, got {tuple(size)}'
        )
    require_package('onnx')
    deployed = DeployedPart(detector, part, pixels).eval()
    image = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    image = image if pixels else image / 64.0 - 2
    with torch.no_grad():
        names = deployed.output_names(deployed(image))
    axes = {'image': {0: 'batch', 2: 'height', 3: 'width'}}
    for name in names:
        axes[name] = (
            {0: 'detections'}
            if part == 'detector'
            else {0: 'batch', 2: f'{name}_height', 3: f'{name}_width'}
        )
    # Without inlining, or NMS would be looked into instead of written. Older
    # versions of PyTorch know neither option.
    known = inspect.signature(torch.onnx.export).parameters
    options: Dict[str, Any] = {
        name: False
        for name in ('dynamo', 'autograd_inlining')
        if name in known
    }
    with warnings.catch_warnings(), torch.no_grad(), writer.replacing(
        out_file
    ) as file:
        # That Python saw sizes: what depends on them is tested at others.
        warnings.simplefilter('ignore')
        torch.onnx.export(
            deployed,
            (image,),
            file.name,
            opset_version=OPSET,
            input_names=['image'],
            output_names=names,
            dynamic_axes=axes,
            **options,
        )
        _write_classes(file.name, detector)
    return deployed


def _write_classes(file: str, detector: nn.Module) -> None:
    """Write the names of a detector's classes into its file, if known."""
    names = getattr(detector, 'dataset_meta', {}).get('classes')
    if names:
        onnx = require_package('onnx')
        graph = onnx.load(file)
        onnx.helper.set_model_props(graph, {CLASSES: json.dumps(names)})
        onnx.save(graph, file)
