"""Detectors with SGE outside PyTorch: ONNX files and their check."""
from .check import (
    TOLERANCE,
    OutputCheck,
    check_onnx,
    check_table,
    make_batch,
    need,
)
from .export import export_onnx, load_detector
from .graph import PARTS, DeployedPart

__all__ = [
    'PARTS', 'TOLERANCE', 'DeployedPart', 'OutputCheck', 'check_onnx',
    'check_table', 'export_onnx', 'load_detector', 'make_batch', 'need'
]
