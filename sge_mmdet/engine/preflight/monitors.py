"""Figures that a training watches, against those that its validation gives."""

import difflib
from typing import Any, Dict, Iterator, List, Optional, Tuple

from mmengine.config import Config

from ...evaluation.bins import size_bins, with_all_sizes
from ...evaluation.protocols import find_protocol
from ...evaluation.small_object_metric import AP_ITEMS, AR_ITEMS
from .annotations import AnnotationFile
from .findings import Findings

METRICS = ('CocoMetric', 'SmallObjectMetric')
# Sizes in the names of CocoMetric's figures.
LETTERS = dict(s='small', m='medium', l='large')


def check_monitors(
    findings: Findings, cfg: Config, file: Optional[AnnotationFile]
) -> None:
    """Check ``save_best``, early stopping and schedules.

    Args:
        findings (Findings): Where findings are added.
        cfg (Config): Config of the training.
        file (AnnotationFile, optional): Annotations of the validation. None if
            they are not known.
    """
    figures = _figures(cfg.get('val_evaluator'))
    if figures is None:
        return
    for where, key in _monitored(cfg):
        if key not in figures:
            near = difflib.get_close_matches(key, figures, 1, 0.4)
            hint = f'; the nearest is {near[0]!r}' if near else ''
            findings.error(
                f'{where}={key!r} is no figure of val_evaluator, which gives '
                + (f'{_shown(figures)}{hint}' if figures else 'none')
            )
            continue
        limits = figures[key]
        if limits and file and not file.has_area(limits):
            findings.warn(
                f'{where}={key!r}: {file.path} has no object of this size '
                f'(area of {limits[0]:g} to {limits[1]:g} square pixels), so '
                "that the figure is always -1; watch 'coco/bbox_mAP' instead"
            )


def _monitored(cfg: Config) -> Iterator[Tuple[str, str]]:
    """Yield place and name of the figures that a config watches."""
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    best = checkpoint.get('save_best')
    for key in best if isinstance(best, (list, tuple)) else [best]:
        if isinstance(key, str) and key != 'auto':
            yield 'default_hooks.checkpoint.save_best', key
    for i, hook in enumerate(cfg.get('custom_hooks') or []):
        if isinstance(hook, dict) and 'EarlyStopping' in str(hook.get('type')):
            if isinstance(hook.get('monitor'), str):
                yield f'custom_hooks[{i}].monitor', hook['monitor']
    steps = cfg.get('param_scheduler')
    steps = steps if isinstance(steps, (list, tuple)) else [steps]
    for i, step in enumerate(steps):
        if isinstance(step, dict) and 'OnPlateau' in str(step.get('type')):
            yield f'param_scheduler[{i}].monitor', step.get('monitor', 'loss')


def _figures(
    evaluator: Any,
) -> 'Optional[Dict[str, Optional[Tuple[float, float]]]]':
    """Return the figures of evaluators, with the limits of their areas.

    None if an evaluator is not known.
    """
    parts = evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]
    figures: Dict[str, Optional[Tuple[float, float]]] = {}
    for part in parts:
        kind = str(part.get('type') if isinstance(part, dict) else part)
        kind = kind.rpartition('.')[2]
        if kind not in METRICS or part.get('classwise'):
            return None
        # Other protocols have figures of their own.
        if find_protocol(part.get('protocol'), part.get('size_bins')).name != (
            'coco'
        ):
            return None
        if part.get('format_only'):
            continue
        prefix = part.get('prefix') or 'coco'
        for name, limits in _figures_of(part, kind):
            figures[f'{prefix}/{name}'] = limits
    return figures


def _figures_of(
    evaluator: Dict[str, Any], kind: str
) -> 'Iterator[Tuple[str, Optional[Tuple[float, float]]]]':
    """Yield the figures of an evaluator, with the limits of their areas."""
    metrics = evaluator.get('metric', 'bbox')
    limits = {bin.name: bin.area for bin in size_bins('coco')}
    for metric in [metrics] if isinstance(metrics, str) else metrics:
        if metric == 'proposal_fast':
            numbers = evaluator.get('proposal_nums', (100, 300, 1000))
            yield from ((f'AR@{number}', None) for number in numbers)
            continue
        is_proposal = metric == 'proposal'
        items = evaluator.get('metric_items') or (
            AR_ITEMS if is_proposal else AP_ITEMS
        )
        for item in items:
            size = LETTERS.get(item.partition('@')[0].rpartition('_')[2])
            name = item if is_proposal else f'{metric}_{item}'
            yield name, limits[size] if size else None
        if kind == 'SmallObjectMetric':
            yield from _size_figures(evaluator, metric)


def _size_figures(
    evaluator: Dict[str, Any], metric: str
) -> 'Iterator[Tuple[str, Optional[Tuple[float, float]]]]':
    """Yield the figures by size of ``SmallObjectMetric``."""
    spec = evaluator.get('size_bins') or 'coco'
    for bin in with_all_sizes(size_bins(spec)):
        for kind in ('mAP', 'AR', 'num', 'mAP_50'):
            limits = None if bin.name == 'all' else bin.area
            yield f'{metric}_{kind}_{bin.name}', limits


def _shown(figures: Dict[str, Any]) -> str:
    names: List[str] = list(figures)
    return ', '.join(names[:6]) + (', ...' if len(names) > 6 else '')
