"""Export of a detector to a file that is checked before it is published."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import List, Optional, Sequence, Tuple, Union

from torch import Tensor

from ..utils import Writer, folder_beside
from ..utils.tables import Table
from .check import (
    TOLERANCE,
    OutputCheck,
    check_onnx,
    make_batch,
    sizes_to_check,
)
from .export import export_onnx, load_detector
from .graph import DeployedPart
from .packages import require_package
from .quantization import agreement_table, quantize_onnx

# Number of batches for measuring ranges and for comparing both files.
CALIBRATION_BATCHES = 32


@dataclass(frozen=True)
class ExportOptions:
    """Options of a checked export.

    Args:
        part: "backbone", "heads" or "detector"; see :class:`DeployedPart`.
            Default: "detector".
        pixels: Whether the input is uint8 pixels. Default: False.
        size: Height and width of the traced image, in pixels. Default: (256,
            320).
        images: Folder of images for the check. Default: None, smooth noise.
        quantize: "dynamic" or "static" for a second file in 8 bits. Default:
            None, no second file.
        overwrite: Whether to replace existing files. Default: False.

    Raises:
        ValueError: If ``quantize`` is "static" and there are no images.
    """

    part: str = 'detector'
    pixels: bool = False
    size: Tuple[int, int] = (256, 320)
    images: Optional[Path] = None
    quantize: Optional[str] = None
    overwrite: bool = False

    def __post_init__(self) -> None:  # noqa: D105
        if self.quantize == 'static' and not self.images:
            raise ValueError(
                'quantize="static" measures ranges on images; name a folder '
                'of them with --images'
            )


@dataclass(frozen=True)
class CheckedExport:
    """An exported file and its comparison with MMDetection.

    Attributes:
        file: Exported file; FILE.failed.onnx if it differs.
        deployed: Exported part, as a PyTorch module.
        checks: One check for each output and input shape.
    """

    file: Path
    deployed: DeployedPart
    checks: List[OutputCheck]

    @property
    def agrees(self) -> bool:
        """bool: Whether every difference is within the tolerance."""
        return all(check.difference <= TOLERANCE for check in self.checks)

    @property
    def is_compared(self) -> bool:
        """bool: Whether every check had values to compare."""
        return all(check.values for check in self.checks)


def export_checked_onnx(
    config: Union[str, Path],
    checkpoint: Optional[str],
    out_file: Union[str, Path],
    options: ExportOptions,
) -> CheckedExport:
    """Export a detector and compare the file with MMDetection.

    A file that fails its check never replaces an existing file: it is kept as
    FILE.failed.onnx.

    Args:
        config (str or Path): Config of the detector.
        checkpoint (str, optional): File or URL of its weights; None for
            random weights.
        out_file (str or Path): File to write; its folder is created.
        options (ExportOptions): Options of the export and of the check.

    Returns:
        CheckedExport: Exported file and its checks.

    Raises:
        FileExistsError: If the file exists and must not be replaced.
        FileNotFoundError: If the config, the checkpoint or the images do not
            exist.
        ImportError: If onnx or onnxruntime is not installed.
        NotImplementedError: If the detector has something that is not
            exported.
        OSError: If the file cannot be written.
        ValueError: If the config, the part or the size is not valid.
    """
    require_package('onnxruntime')
    out_file = Path(out_file)
    inputs = [config, checkpoint] if checkpoint else [config]
    writer = Writer(options.overwrite, inputs)
    quantized = [quantized_file(out_file)] if options.quantize else []
    writer.check(out_file, *quantized)
    detector = load_detector(config, checkpoint)
    with folder_beside(out_file) as folder:
        draft = folder / out_file.name
        deployed = export_onnx(
            detector, draft, options.part, options.pixels, options.size
        )
        checks = check_onnx(
            draft,
            deployed,
            sizes_to_check(deployed, options.size),
            options.images,
        )
        export = CheckedExport(out_file, deployed, checks)
        if not export.agrees:
            export = replace(export, file=out_file.with_suffix('.failed.onnx'))
            writer = replace(writer, renews=True)
        writer.publish(draft, export.file)
    return export


def quantized_file(out_file: Path) -> Path:
    """Return the path of the quantised file for a file in float32."""
    return out_file.with_suffix('.int8.onnx')


def quantize_export(export: CheckedExport, options: ExportOptions) -> Table:
    """Quantise an exported file and compare both files.

    Args:
        export (CheckedExport): Export in float32.
        options (ExportOptions): Options of the export, with ``quantize``.

    Returns:
        Table: Result of :func:`agreement_table`.

    Raises:
        FileExistsError: If the file exists and must not be replaced.
        ImportError: If onnx or onnxruntime is not installed.
        OSError: If the file cannot be written.
        ValueError: If ``quantize`` is unknown.
    """
    batches = _make_batches(export.deployed, options.size, options.images)
    quantized = quantized_file(export.file)
    quantize_onnx(
        export.file,
        quantized,
        str(options.quantize),
        batches,
        options.overwrite,
    )
    return agreement_table(export.file, quantized, batches)


def _make_batches(
    deployed: DeployedPart, size: Sequence[int], images: Optional[Path]
) -> List[Tensor]:
    height, width = size
    return [
        make_batch(deployed, (1, height, width), images, first)
        for first in range(CALIBRATION_BATCHES)
    ]
