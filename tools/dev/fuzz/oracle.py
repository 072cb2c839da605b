"""Figures of accepted files, computed a second time on another way.

The package reads a file with its own readers and evaluates it with hotcoco or
pycocotools, and again in numpy for comparisons. Here ``reference.py`` reads
the same bytes, and pycocotools alone evaluates them, by areas that are
written down here. All figures have to agree.
"""

import contextlib
import io
import math
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

import numpy as np
import torch
from mmengine.runner import CheckpointLoader
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sge_mmdet.evaluation import (
    class_table,
    evaluate,
    parse_size_bins,
    read_detections,
    read_ground_truth,
    size_table,
)
from sge_mmdet.evaluation.bins import with_all_sizes
from sge_mmdet.evaluation.bootstrap import mean_ap, weighted_ap
from sge_mmdet.evaluation.matching import match

from .reference import coco_ground_truth, coco_results, weights_of

Figures = Dict[str, Optional[float]]
ENOUGH = 1e-9
# Names and areas in pixels, of what --size-bins is given.
BINS = {
    ('coco',): dict(small=(0, 1024), medium=(1024, 9216), large=(9216, 1e10)),
    ('aitod',): dict(
        very_tiny=(0, 64),
        tiny=(64, 256),
        small=(256, 1024),
        medium=(1024, 1e10),
    ),
    ('0', '12', '40', 'inf'): {
        '0-12': (0, 144),
        '12-40': (144, 1600),
        '40-inf': (1600, 1e10),
    },
}


class Disagreement(Exception):
    """The package and the reference make different things of a file."""


class Case(NamedTuple):
    """How a result is evaluated.

    Attributes:
        ground_truth: File of the ground truth.
        results: File of the detections.
        metric: "bbox" or "segm".
        bins: One of the keys of :data:`BINS`.
        engine: "hotcoco" or "pycocotools".
    """

    ground_truth: Path
    results: Path
    metric: str
    bins: 'tuple[str, ...]'
    engine: str


def check_figures(case: Case) -> None:
    """Raise a :class:`Disagreement` where a figure differs.

    Args:
        case (Case): The files, which the package accepts.
    """
    theirs = reference_figures(case)
    for ours in reported_figures(case), compared_figures(case):
        different = [
            f'{name} is {ours[name]}, by the reference {theirs.get(name)}'
            for name in ours
            if not _are_equal(ours[name], theirs.get(name))
        ]
        if different:
            raise Disagreement(f'{case}: {"; ".join(different)}')


def _are_equal(a: Optional[float], b: Optional[float]) -> bool:
    if a is None or b is None:
        return a is b
    return abs(a - b) <= ENOUGH


def reported_figures(case: Case) -> Figures:
    """Return what ``tools/evaluate.py`` has in its two tables.

    Args:
        case (Case): The files.
    """
    ground_truth = read_ground_truth(case.ground_truth, 'all')
    detections = read_detections(case.results, ground_truth, case.metric)
    result = evaluate(
        ground_truth,
        detections,
        parse_size_bins(case.bins),
        case.metric,
        engine=case.engine,
    )
    figures = {
        f'{key} {row["size"]}': row[key]
        for row in size_table(result).records()
        for key in ('objects', 'AP', 'AP50', 'AP75', 'AR')
    }
    for k, row in enumerate(class_table(result).rows):
        for i, bin in enumerate(result.bins):
            figures[f'AP {bin.name} of category {k}'] = row[1 + 2 * i]
            figures[f'objects {bin.name} of category {k}'] = row[2 + 2 * i]
    figures['detections'] = len(detections.image)
    return figures


def compared_figures(case: Case) -> Figures:
    """Return what ``tools/compare.py`` computes of the data as they are.

    Args:
        case (Case): The files.
    """
    ground_truth = read_ground_truth(case.ground_truth, 'all')
    if not len(ground_truth.image):
        return {}
    detections = read_detections(case.results, ground_truth, case.metric)
    bins = with_all_sizes(parse_size_bins(case.bins))
    ap = weighted_ap(
        match(ground_truth, detections, bins, case.metric),
        np.ones((1, len(ground_truth.image_ids)), int),
    )
    return {
        f'{name} {bin.name}': None if math.isnan(value) else float(value)
        for name, part in (
            ('AP', slice(None)),
            ('AP50', slice(0, 1)),
            ('AP75', slice(5, 6)),
        )
        for bin, value in zip(bins, mean_ap(ap, part)[0])
    }


def reference_figures(case: Case) -> Figures:
    """Return the same figures by another way.

    Args:
        case (Case): The files.
    """
    ground_truth = coco_ground_truth(case.ground_truth.read_bytes())
    masks = case.metric == 'segm'
    results = coco_results(case.results, ground_truth, masks)
    areas = dict(all=(0, 1e10), **BINS[case.bins])
    run = _evaluation(ground_truth, results, case.metric, list(areas.values()))
    precision, recall = run.eval['precision'], run.eval['recall']
    categories = sorted(
        category['id'] for category in ground_truth['categories']
    )
    figures: Figures = dict(detections=len(results))
    for a, (name, (low, high)) in enumerate(areas.items()):
        inside = [
            entry['category_id']
            for entry in ground_truth['annotations']
            if not entry['iscrowd'] and low <= entry['area'] <= high
        ]
        figures[f'objects {name}'] = len(inside)
        figures[f'AP {name}'] = _mean(precision[..., a, 0])
        figures[f'AP50 {name}'] = _mean(precision[0, ..., a, 0])
        figures[f'AP75 {name}'] = _mean(precision[5, ..., a, 0])
        figures[f'AR {name}'] = _mean(recall[..., a, 0])
        for k, category in enumerate(categories):
            figures[f'AP {name} of category {k}'] = _mean(
                precision[:, :, k, a, 0]
            )
            figures[f'objects {name} of category {k}'] = inside.count(category)
    return figures


def _evaluation(
    ground_truth: Dict[str, List[dict]],
    results: List[dict],
    metric: str,
    areas: List['tuple[float, float]'],
) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        objects = COCO()
        objects.dataset = ground_truth
        objects.createIndex()
        if results:
            detections = objects.loadRes(results)
        else:
            detections = COCO()
            detections.dataset = dict(ground_truth, annotations=[])
            detections.createIndex()
        run = COCOeval(objects, detections, metric)
        run.params.areaRng = [list(area) for area in areas]
        run.params.areaRngLbl = [str(area) for area in areas]
        run.params.maxDets = [100]
        run.evaluate()
        run.accumulate()
    return run


def _mean(values: np.ndarray) -> Optional[float]:
    values = values[values > -1]
    return float(values.mean()) if values.size else None


def check_weights(path: Path) -> None:
    """Raise a :class:`Disagreement` where a weight differs.

    Args:
        path (Path): A checkpoint that the package accepts.
    """
    content = CheckpointLoader.load_checkpoint(str(path), 'cpu')
    weights = content.get('state_dict', content)
    ours = {
        key: value
        for key, value in weights.items()
        if isinstance(value, torch.Tensor)
    }
    theirs = weights_of(path.read_bytes())
    different = [
        key
        for key in {*ours, *theirs}
        if key not in ours
        or key not in theirs
        or not _are_same(ours[key], theirs[key])
    ]
    if different:
        raise Disagreement(f'{path.name}: weights differ: {different}')


def _are_same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return (
        a.dtype == b.dtype
        and a.shape == b.shape
        and torch.equal(
            a.nan_to_num() if a.is_floating_point() else a,
            b.nan_to_num() if b.is_floating_point() else b,
        )
    )
