"""Detectors with SGE outside PyTorch: ONNX files and their check."""
from .check import (
    TOLERANCE,
    OutputCheck,
    check_onnx,
    check_table,
    make_batch,
    sizes_to_check,
)
from .detect import detect_with_onnx
from .export import export_onnx, load_detector
from .graph import PARTS, DeployedPart
from .packages import need
from .quantization import (
    MODES,
    agreement_table,
    disagreements,
    quantize_onnx,
)

__all__ = [
    'MODES', 'PARTS', 'TOLERANCE', 'DeployedPart', 'OutputCheck',
    'agreement_table', 'check_onnx', 'check_table', 'detect_with_onnx',
    'disagreements', 'export_onnx', 'load_detector', 'make_batch', 'need',
    'quantize_onnx', 'sizes_to_check'
]
