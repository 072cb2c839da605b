"""Export of a detector whose file is checked before it gets its name."""

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

# Batches on which ranges are measured and both files are compared.
CALIBRATION_BATCHES = 32


@dataclass(frozen=True)
class ExportOptions:
    """Options of a checked export.

    Args:
        part: "backbone", "heads" or "detector"; see :class:`DeployedPart`.
        pixels: Whether the input is uint8 pixels.
        size: Height and width of the traced image, in pixels.
        images: Folder of images to check with; None for smooth noise.
        quantize: "dynamic" or "static" for a second file in 8 bits, or None.
        overwrite: Whether to replace existing files.

    Raises:
        ValueError: If static ranges are to be measured and no images given.
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
                '--quantize static measures ranges on images: name '
                'a folder of them with --images'
            )


@dataclass(frozen=True)
class CheckedExport:
    """An exported file and how it compares with MMDetection.

    Attributes:
        file: The file; where it differs, FILE.failed.onnx.
        deployed: What was exported, as a PyTorch module.
        checks: One check for each output and input shape.
    """

    file: Path
    deployed: DeployedPart
    checks: List[OutputCheck]

    @property
    def agrees(self) -> bool:
        """bool: whether every difference is within the tolerance."""
        return all(check.difference <= TOLERANCE for check in self.checks)

    @property
    def is_compared(self) -> bool:
        """bool: whether there was something to compare in every check."""
        return all(check.values for check in self.checks)


def export_checked_onnx(
    config: Union[str, Path],
    checkpoint: Optional[str],
    out_file: Union[str, Path],
    options: ExportOptions,
) -> CheckedExport:
    """Export a detector and compare the file with MMDetection.

    The file gets its name only if it agrees, so that nothing that is there is
    replaced by a file that fails its check. One that differs is kept as
    FILE.failed.onnx.

    Args:
        config (str or Path): Config of the detector.
        checkpoint (str, optional): Its weights; None for random ones.
        out_file (str or Path): The file; its folder is made.
        options (ExportOptions): How it is exported and checked.

    Returns:
        CheckedExport: The file and its checks.

    Raises:
        FileExistsError: If a file is there and not to be replaced.
        FileNotFoundError: If the config, the checkpoint or images are not
            there.
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
    """Return the name of the file in 8 bits beside one in float32."""
    return out_file.with_suffix('.int8.onnx')


def quantize_export(export: CheckedExport, options: ExportOptions) -> Table:
    """Write an exported file in 8 bits and compare both.

    Args:
        export (CheckedExport): The export.
        options (ExportOptions): Its options, with ``quantize``.

    Returns:
        Table: Result of :func:`agreement_table`.

    Raises:
        FileExistsError: If the file is there and not to be replaced.
        ImportError: If onnx or onnxruntime is not installed.
        OSError: If the file cannot be written.
        ValueError: If there is no such mode.
    """
    batches = _batches(export.deployed, options.size, options.images)
    quantized = quantized_file(export.file)
    quantize_onnx(
        export.file,
        quantized,
        str(options.quantize),
        batches,
        options.overwrite,
    )
    return agreement_table(export.file, quantized, batches)


def _batches(
    deployed: DeployedPart, size: Sequence[int], images: Optional[Path]
) -> List[Tensor]:
    height, width = size
    return [
        make_batch(deployed, (1, height, width), images, first)
        for first in range(CALIBRATION_BATCHES)
    ]
