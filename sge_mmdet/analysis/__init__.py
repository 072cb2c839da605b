"""Parameters and operations of models."""

from .complexity import (
    add_classifier,
    count_flops,
    count_flops_as_mmengine,
    count_parameters,
    detector_taking_image,
)
from .paper import PAPER_ROWS, PaperRow
from .stats import (
    HEADER,
    PAPER_HEADER,
    ModelStats,
    backbone_stats,
    config_stats,
    paper_stats,
)

__all__ = [
    'HEADER',
    'PAPER_HEADER',
    'PAPER_ROWS',
    'ModelStats',
    'PaperRow',
    'add_classifier',
    'backbone_stats',
    'config_stats',
    'count_flops',
    'count_flops_as_mmengine',
    'count_parameters',
    'detector_taking_image',
    'paper_stats',
]
