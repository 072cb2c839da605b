"""ONNX export of detectors with SGE, with checks and quantisation."""

from ..utils.moved import moved
from .check import (
    TOLERANCE,
    OutputCheck,
    check_onnx,
    check_table,
    make_batch,
    sizes_to_check,
)
from .export import export_onnx, load_detector
from .graph import PARTS, DeployedPart
from .inference import detect_with_onnx
from .packages import require_package
from .quantization import MODES, agreement_table, disagreements, quantize_onnx

__all__ = [
    'MODES',
    'PARTS',
    'TOLERANCE',
    'DeployedPart',
    'OutputCheck',
    'agreement_table',
    'check_onnx',
    'check_table',
    'detect_with_onnx',
    'disagreements',
    'export_onnx',
    'load_detector',
    'make_batch',
    'quantize_onnx',
    'require_package',
    'sizes_to_check',
]

__getattr__ = moved(
    __name__,
    {
        'need': 'sge_mmdet.deployment.require_package',
    },
)
