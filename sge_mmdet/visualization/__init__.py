"""Plots of SGE's gates and of training curves."""

from ..utils.moved import moved
from .gates import (
    GateMaps,
    choose_layers,
    gates_figure,
    record_gates,
    recorded_gates,
    similarity_figure,
)
from .training_curves import draw_training_curves

__all__ = [
    'GateMaps',
    'choose_layers',
    'draw_training_curves',
    'gates_figure',
    'record_gates',
    'recorded_gates',
    'similarity_figure',
]

_MOVED_PLOTS = (
    'ap_by_size class_bars comparison detections errors missed'.split()
)
__getattr__ = moved(
    __name__,
    {
        **{
            f'draw_{name}': f'sge_mmdet.evaluation.plots.draw_{name}'
            for name in (*_MOVED_PLOTS, 'precision_recall')
        },
        'draw_study': 'sge_mmdet.study.plots.draw_study',
        'draw_study_curves': 'sge_mmdet.study.plots.draw_study_curves',
        'SGEVisualizationHook': 'sge_mmdet.engine.hooks.SGEVisualizationHook',
        'look_at_gates': 'sge_mmdet.visualization.record_gates',
    },
)
